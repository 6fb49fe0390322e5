from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from snnbench.data import Augment, Cutout, RandomRedErasing
from snnbench.data.augment import BatchTransform, augment_of
from snnbench.errors import UserError


def cut(centres: list[tuple[int, int]], length: int, size: tuple[int, int]) -> torch.Tensor:
    """Which pixels Cutout leaves, with its random centres replaced by `centres`."""
    transform = Cutout(holes=len(centres), length=length)
    return transform.transform(torch.ones(1, *size, dtype=torch.uint8), {"centres": centres})[0]


def test_cutout_matches_masks_worked_by_hand() -> None:
    assert cut([(2, 2)], 2, (4, 5)).tolist() == [[1, 1, 1, 1, 1], [1, 0, 0, 1, 1], [1, 0, 0, 1, 1], [1, 1, 1, 1, 1]]
    assert cut([(0, 4)], 4, (4, 5)).tolist() == [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]]
    assert cut([(3, 0), (0, 3)], 2, (4, 5)).tolist() == [
        [1, 1, 0, 0, 1],
        [1, 1, 1, 1, 1],
        [0, 1, 1, 1, 1],
        [0, 1, 1, 1, 1],
    ]
    assert cut([(1, 1)], 16, (4, 5)).sum() == 0


def test_cutout_centres_reach_every_pixel_and_the_image_is_not_changed_in_place() -> None:
    torch.manual_seed(0)
    image = torch.full((3, 5, 7), 9, dtype=torch.uint8)
    holes = torch.stack([(Cutout(1, 2)(image) == 0).float() for _ in range(800)])
    assert (image == 9).all()
    assert (holes.sum((2, 3)) == holes.sum((2, 3))[:, :1]).all(), "the same hole in every channel"
    assert set(holes[:, 0].sum((1, 2)).tolist()) == {1.0, 2.0, 4.0}, "clipped at a corner, at an edge, whole"
    corner = holes[:, 0, 4, 6].mean().item()  # covered by the centre (4, 6) alone
    assert corner == pytest.approx(1 / 35, abs=0.02)


def test_cutout_takes_pil_images() -> None:
    torch.manual_seed(0)
    result = Cutout(1, 4)(Image.new("RGB", (8, 6), (5, 6, 7)))
    assert isinstance(result, Image.Image)
    assert result.size == (8, 6)
    assert (np.asarray(result) == 0).any()


def test_red_erasing_is_what_pil_paints_for_a_whole_number() -> None:
    torch.manual_seed(0)
    pixels = np.full((32, 32, 3), (10, 20, 30), np.uint8)
    transform, seen = RandomRedErasing(p=1.0), set()
    for _ in range(50):
        image = Image.fromarray(pixels)
        x = v2.functional.pil_to_tensor(image)
        params = transform.make_params([x])
        top, left, height, width = params["box"]
        image.paste(params["value"], (left, top, left + width, top + height))
        erased = transform.transform(x, params)
        assert erased.dtype == torch.uint8
        assert torch.equal(erased, v2.functional.pil_to_tensor(image))
        assert (erased[1:, top : top + height, left : left + width] == 0).all()
        seen.add(int(erased[0, top, left]))
    assert len(seen) > 20


def test_red_erasing_draws_area_and_ratio_uniformly_and_reaches_every_border_and_value() -> None:
    torch.manual_seed(0)
    transform, x = RandomRedErasing(), torch.zeros(3, 32, 32, dtype=torch.uint8)
    drawn = [transform.make_params([x]) for _ in range(6000)]
    hit = [params for params in drawn if params["box"] is not None]
    assert len(hit) / len(drawn) == pytest.approx(0.5, abs=0.03)
    top, left, height, width = torch.tensor([params["box"] for params in hit]).float().T
    assert {0, 255} < {params["value"] for params in hit} <= set(range(256))
    # int() takes half a pixel from each side, on average: of 0.21 of 1024 pixels, about 14
    assert (height * width).mean() == pytest.approx(0.21 * 1024 - 14, rel=0.03)
    assert (height > width).float().mean() == pytest.approx(1.5 / 2.1, abs=0.06), "a ratio of uniform logarithm: 0.5"
    assert height.max() <= 32
    assert width.max() <= 32
    for edge, side in ((top, height), (left, width)):
        assert edge.min() == 0
        assert (edge + side).max() == 32
        inside = edge[side < 32] / (32 - side[side < 32])
        assert inside.mean() == pytest.approx(0.5, abs=0.03)


MIXES = {
    "mixup": [v2.MixUp(alpha=0.2, num_classes=7)],
    "cutmix": [v2.CutMix(alpha=1.0, num_classes=7)],
    "choice": [v2.RandomChoice([v2.MixUp(alpha=0.2, num_classes=7), v2.CutMix(num_classes=7)])],
    "sometimes": [v2.RandomApply([v2.MixUp(num_classes=7)], p=0.5)],
    "never": [v2.RandomApply([v2.MixUp(num_classes=7)], p=0.0)],
}


@pytest.mark.parametrize("name", MIXES)
@pytest.mark.parametrize("batch", [1, 5, 8])
def test_batch_transforms_give_class_probabilities(name: str, batch: int) -> None:
    transform = BatchTransform(MIXES[name], num_classes=7)
    torch.manual_seed(0)
    for _ in range(8):
        x, y = torch.randn(batch, 3, 9, 11), torch.randint(7, (batch,))
        mixed, soft = transform(x, y)
        assert mixed.shape == x.shape
        assert soft.shape == (batch, 7)
        assert soft.dtype == torch.float32
        torch.testing.assert_close(soft.sum(1), torch.ones(batch))
        assert (soft.gather(1, y[:, None]) > 0).all() or name in ("cutmix", "choice")
        if name == "never":
            assert torch.equal(mixed, x)
            assert torch.equal(soft.argmax(1), y)


@pytest.mark.parametrize("name", ["mixup", "cutmix", "choice", "sometimes"])
def test_batch_transforms_draw_from_the_global_torch_generator_only(name: str) -> None:
    x, y = torch.randn(6, 3, 8, 8), torch.arange(6)
    results = []
    for other in (0, 1):
        np.random.seed(other)
        torch.manual_seed(11)
        results.append(BatchTransform(MIXES[name], 7)(x, y))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_cutmix_labels_follow_the_pasted_area() -> None:
    torch.manual_seed(3)
    x, y = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 10, 10).contiguous(), torch.arange(4)
    mixed, soft = BatchTransform(MIXES["cutmix"], 7)(x, y)
    for i in range(4):
        assert soft[i, i].item() == pytest.approx((mixed[i] == i).float().mean().item(), abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": 1.5}, r"RandomRedErasing.p=1.5: must be a number in \[0, 1\]"),
        ({"scale": [0.4, 0.02]}, r"RandomRedErasing.scale=\[0.4, 0.02\]: must be a list of ascending numbers"),
        ({"ratio": [0, 1]}, r"RandomRedErasing.ratio=\[0, 1\]"),
    ],
)
def test_a_rectangle_that_cannot_be_is_refused(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        RandomRedErasing(**options)


def test_batch_transforms_end_after_their_epochs_and_each_image_is_treated_apart_after_them() -> None:
    x, y = torch.ones(6, 3, 8, 8), torch.arange(6)
    erase = v2.RandomErasing(p=1.0, scale=(0.1, 0.3), value=0)
    augment = Augment("mine", batch=[lambda x, y: (2 * x, y)], batch_epochs=2, mixed=[erase, lambda image: -image])
    for epoch, factor in enumerate([2, 2, 1, 1]):
        mixed, soft = BatchTransform.of(augment, 7, lambda epoch=epoch: epoch)(x, y)
        assert set(mixed.unique().tolist()) == {0.0, -float(factor)}
        holes = (mixed[:, 0] == 0).flatten(1)
        assert len({tuple(hole.tolist()) for hole in holes}) > 1, "one rectangle for all images"
        assert torch.equal(soft, torch.nn.functional.one_hot(y, 7).float())
    assert BatchTransform.of(Augment("mine"), 7, lambda: 0) is None


@pytest.mark.parametrize("epochs", [-1, 1.5, "all"])
def test_a_number_of_epochs_that_cannot_be_is_refused(epochs: object) -> None:
    with pytest.raises(UserError, match=r"^augment.batch_epochs=.*: must be a whole number of at least 0"):
        Augment("mine", batch_epochs=epochs)


@pytest.mark.parametrize("part", ["sample", "normalized", "batch", "mixed"])
@pytest.mark.parametrize("value", [None, "flip", [1], 3])
def test_what_is_no_list_of_transforms_is_refused(part: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"^augment.{part}=.*: must be a list of transforms."):
        Augment("mine", **{part: value})


@pytest.mark.parametrize("value", [False, 0, "crop_flip", {}])
def test_what_is_no_augmentation_is_refused(value: object) -> None:
    with pytest.raises(UserError, match=r"^data.augment=.*: must be what configs/augment builds, or null."):
        augment_of(value)
    assert augment_of(None).sample == []


def test_augment_takes_any_sequences() -> None:
    augment = Augment("mine", sample=(abs,))
    assert augment.sample == [abs]
    assert augment.normalized == augment.batch == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"holes": 0}, "Cutout.holes=0: must be a whole number of at least 1"),
        ({"length": 1}, "Cutout.length=1: must be a whole number of at least 2"),  # half of it is 0: nothing is cut
        ({"length": 2.5}, "Cutout.length=2.5"),
    ],
)
def test_holes_of_no_size_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Cutout(**options)
