"""Augmentation of whole clips: one draw for all frames, and the ranges the papers' code has."""

from __future__ import annotations

import math

import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from snnbench.data.events import pil
from snnbench.data.events.clips import ClipBatchTransform, RandomFrames, RandomRoll, SNNAugmentWide, to_input
from snnbench.errors import UserError
from tests.conftest import CONFIGS

T, SIZE = 3, 24
DVS = sorted(path.stem for path in (CONFIGS / "augment").glob("dvs_*.yaml"))


def clip(seed: int = 0) -> torch.Tensor:
    """The same frame T times, so that a draw per frame would show."""
    frame = torch.randint(1, 9, (2, SIZE, SIZE), generator=torch.Generator().manual_seed(seed)).float()
    return frame.expand(T, 2, SIZE, SIZE).clone()


@pytest.mark.parametrize("name", DVS)
def test_one_draw_holds_for_all_frames(name, event_data):
    augment = event_data("cifar10dvs", f"augment={name}", f"data.image_size={SIZE}").augment
    assert augment.name == name
    torch.manual_seed(0)
    changed = 0
    for _ in range(30):
        x = clip()
        for transform in augment.sample:
            x = transform(x)
        assert x.shape == (T, 2, SIZE, SIZE)
        assert (x == x[0]).all()
        changed += not torch.equal(x, clip())
    assert 20 <= changed <= 30


def test_roll_is_circular_and_reaches_both_ends():
    torch.manual_seed(0)
    roll, seen = RandomRoll(2), set()
    for _ in range(300):
        x = roll(clip())
        shifts = [
            (i, j) for i in range(-3, 4) for j in range(-3, 4) if torch.equal(torch.roll(clip(), (i, j), (2, 3)), x)
        ]
        assert len(shifts) == 1
        seen.update(shifts)
    assert seen == {(i, j) for i in range(-2, 3) for j in range(-2, 3)}


def test_snn_augment_wide_does_one_of_six_things():
    torch.manual_seed(0)
    wide, seen = SNNAugmentWide("bilinear"), {}
    for _ in range(2000):
        params = wide.make_params([])
        seen.setdefault(params["operation"], set()).add(round(params["strength"], 4))
    assert seen.keys() == {"Identity", "ShearX", "TranslateX", "TranslateY", "Rotate", "Cutout"}
    assert seen["Identity"] == seen["Cutout"] == {0.0}
    for name, most in (("ShearX", 0.3), ("TranslateX", 5), ("TranslateY", 5), ("Rotate", 30)):
        assert len(seen[name]) == 31
        assert (min(seen[name]), max(seen[name])) == (-most, most)


def test_snn_augment_wide_may_leave_operations_out(event_data):
    torch.manual_seed(0)
    (wide,) = event_data("dvs128gesture", "augment=dvs_wide").augment.sample  # AR-LIF's sibling has no cutout
    drawn = [wide.make_params([])["operation"] for _ in range(2000)]
    for operation in ("Identity", "ShearX", "TranslateX", "TranslateY", "Rotate"):
        assert drawn.count(operation) / 2000 == pytest.approx(0.2, abs=0.03)
    assert wide.interpolation is v2.InterpolationMode.NEAREST
    for operations, message in (
        (["Sharpness"], "'Sharpness': unknown. Allowed: Identity, ShearX"),
        ([], "give some of"),
    ):
        with pytest.raises(UserError, match=rf"operations=.*{message}"):
            SNNAugmentWide(operations=operations)


@pytest.mark.parametrize(
    ("operation", "strength", "expected"),
    [
        ("Identity", 0.0, lambda x: x),
        ("TranslateX", 4.67, lambda x: F.pad(x, [4, 0, 0, 0])[..., :SIZE]),
        ("TranslateY", -1.33, lambda x: F.pad(x, [0, 0, 0, 1])[..., 1:, :]),
        ("Rotate", 90.0, lambda x: torch.rot90(x, 1, (2, 3))),
        ("Rotate", 20.0, lambda x: F.rotate(x, 20.0, interpolation=v2.InterpolationMode.NEAREST)),
        ("ShearX", 0.3, lambda x: F.affine(x, 0.0, [0, 0], 1.0, [math.degrees(0.3), 0.0])),
    ],
)
def test_snn_augment_wide_operations(operation, strength, expected):
    x = SNNAugmentWide("nearest").transform(clip(), {"operation": operation, "strength": strength})
    torch.testing.assert_close(x, expected(clip()))


def test_snn_augment_wide_cutout_clears_one_rectangle_of_the_asked_size():
    torch.manual_seed(0)
    for scale, ratio in (((0.05, 0.33), (0.2, 5.0)), ((0.001, 0.11), (1.0, 1.0))):
        wide = SNNAugmentWide("nearest", scale, ratio)
        for _ in range(50):
            x = wide.transform(clip(), {"operation": "Cutout", "strength": 0.0})
            rows, columns = (x == 0).all(1).all(0).nonzero(as_tuple=True)
            height, width = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1
            assert len(rows) == height * width == (x == 0).sum() / (2 * T)
            assert 0 < len(rows) <= (scale[1] + 0.05) * SIZE**2
            assert abs(height - width) <= 1 or ratio != (1.0, 1.0)


@pytest.mark.parametrize("kind", [v2.MixUp, v2.CutMix])
def test_mixing_treats_all_frames_of_a_clip_alike(kind):
    x = torch.stack([clip(seed) * 10**seed for seed in range(4)], 1)
    mix = ClipBatchTransform([kind(num_classes=5, alpha=1.0)], 5)
    torch.manual_seed(3)
    mixed, soft = mix(x, torch.arange(4))
    assert mixed.shape == x.shape
    assert mixed.is_contiguous()
    assert (mixed == mixed[0]).all()
    assert not torch.equal(mixed, x)
    torch.testing.assert_close(soft.sum(1), torch.ones(4))
    if kind is v2.MixUp:
        weight = soft[1, 1]
        torch.testing.assert_close(mixed[:, 1], weight * x[:, 1] + (1 - weight) * x[:, 0])


@pytest.mark.parametrize("kind", [torch.uint8, torch.uint16])
def test_input_is_time_first_float_and_resized(kind):
    counts = torch.randint(0, 255, (5, T, 2, 8, 8), generator=torch.Generator().manual_seed(0)).to(kind)
    x = to_input(counts, (8, 8), "bilinear")
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    assert torch.equal(x, counts.float().transpose(0, 1))
    halves = to_input(counts, (4, 4), "bilinear")
    assert halves.shape == (T, 5, 2, 4, 4)
    reference = torch.nn.functional.interpolate(counts[2].float(), (4, 4), mode="bilinear", antialias=True)
    torch.testing.assert_close(halves[:, 2], reference)
    torch.testing.assert_close(to_input(counts, (4, 4), "nearest"), x[..., ::2, ::2])
    thirds = torch.nn.functional.interpolate(counts[2].float(), (3, 3), mode="bilinear", align_corners=False)
    torch.testing.assert_close(to_input(counts, (3, 3), "bilinear", antialias=False)[:, 2], thirds)
    assert not torch.allclose(to_input(counts, (3, 3), "bilinear")[:, 2], thirds)


def test_binary_frames_say_where_there_were_events():
    counts = torch.tensor([[[[[0, 3]], [[1, 0]]]]], dtype=torch.uint8)  # [B, T, 2, H, W] of 1 x 2 pixels
    assert to_input(counts, (1, 2), "nearest", values="binary").tolist() == [[[[[0, 1]], [[1, 0]]]]]
    assert to_input(counts, (1, 2), "nearest", values="binary_merged").tolist() == [[[[[1, 1]], [[0, 0]]]]]


@pytest.mark.parametrize("values", ["counts", "bytes"])
@pytest.mark.parametrize(("interpolation", "antialias"), [("nearest", True), ("bilinear", True), ("bilinear", False)])
def test_timesteps_come_out_as_they_would_all_at_once(values, interpolation, antialias):
    counts = torch.randint(0, 250, (3, 4, 2, 20, 26), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    x = to_input(counts, (9, 11), interpolation, antialias, values)
    frames = counts.transpose(0, 1).float()
    if values == "bytes":
        expected = pil.resize(pil.to_bytes(frames), (9, 11), interpolation) / 255
    else:
        mode = v2.InterpolationMode(interpolation)
        expected = v2.functional.resize(frames, [9, 11], interpolation=mode, antialias=antialias)
    assert torch.equal(x, expected)
    assert x.is_contiguous()


def test_counts_become_bytes_as_shares_of_one_would():
    counts = torch.tensor([0, 1, 2, 108, 255, 256, 257, 511], dtype=torch.uint16).view(1, 1, 2, 2, 2)
    x = to_input(counts, (2, 2), "bilinear", values="bytes")
    assert (x * 255).flatten().round().tolist() == [0, 255, 254, 148, 1, 0, 255, 1]
    assert torch.equal(x.flatten()[1:3], torch.tensor([255, 254]) / 255)


@pytest.mark.parametrize("size", [48, 37, 20, 64])
@pytest.mark.parametrize(("interpolation", "pils"), [("bilinear", Image.BILINEAR), ("nearest", Image.NEAREST)])
def test_bytes_are_resized_as_pil_does_it(interpolation, pils, size):
    generator = torch.Generator().manual_seed(0)
    counts = (torch.randint(0, 12, (3, T, 2, 40, 128), generator=generator) - 8).clamp(min=0).to(torch.uint8)
    x = to_input(counts, (size, size), interpolation, values="bytes")
    assert x.shape == (T, 3, 2, size, size)
    for t in range(T):
        for b in range(3):
            image = Image.fromarray(((256 - counts[b, t].int()) % 256).byte().permute(1, 2, 0).numpy(), "LA")
            assert torch.equal(x[t, b], F.pil_to_tensor(image.resize((size, size), pils)).div(255))


def sample(augment, x: torch.Tensor) -> torch.Tensor:
    for transform in augment.sample:
        x = transform(x)
    return x


def test_clif_rotates_and_shears_a_third_each_and_always_rolls(event_data):
    augment = event_data("cifar10dvs", "augment=dvs_flip_roll_rotate_shear", f"data.image_size={SIZE}").augment
    rows = torch.arange(1.0, SIZE + 1)[:, None].expand(SIZE, SIZE)
    places = torch.arange(float(SIZE**2)).view(SIZE, SIZE) + 1
    x = torch.stack([rows, places]).expand(T, 2, SIZE, SIZE)
    torch.manual_seed(0)
    kinds, flips, rolls = [], 0, set()
    for _ in range(900):
        y = sample(augment, x.clone())[0]
        if torch.equal(y[1].flatten().sort().values, places.flatten()):
            kinds.append("none")
            i, j = (int(n) for n in (y[1] == 1 + SIZE * 12 + 12).nonzero()[0])
            flipped = bool(y[1, i, j - 1] == y[1, i, j] + 1)
            flips += flipped
            rolls.add((i - 12, j - (SIZE - 1 - 12 if flipped else 12)))
        elif all(len(set(row.tolist()) - {0.0}) <= 1 for row in y[0]):
            kinds.append("shear")  # which leaves each row where it is
        else:
            kinds.append("rotate")
    for kind in ("none", "shear", "rotate"):
        assert kinds.count(kind) / 900 == pytest.approx(1 / 3, abs=0.05), kind
    assert flips / kinds.count("none") == pytest.approx(0.5, abs=0.1)
    assert {i for i, _ in rolls} == {j for _, j in rolls} == set(range(-5, 6))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interpolation": "cubic"}, "SNNAugmentWide.interpolation='cubic': unknown"),
        (
            {"cutout_scale": [0.3, 0.1]},
            r"SNNAugmentWide.cutout_scale=\[0.3, 0.1\]: must be a list of ascending",
        ),
        ({"cutout_scale": [0.1, 1.5]}, "SNNAugmentWide.cutout_scale="),
        ({"cutout_ratio": [1.0]}, "SNNAugmentWide.cutout_ratio=.* of length 2"),
        ({"translate": -1}, "SNNAugmentWide.translate=-1: must be a number in"),
        ({"rotate": float("inf")}, "SNNAugmentWide.rotate=inf"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        SNNAugmentWide(**options)
    with pytest.raises(UserError, match=r"RandomRoll.most=-1"):
        RandomRoll(-1)


def test_a_random_part_of_the_frames_is_kept_in_order_and_every_part_comes_up():
    torch.manual_seed(0)
    keep, labels = RandomFrames(2), torch.tensor([5, 6])
    x = torch.arange(4.0).view(4, 1, 1, 1, 1) + 10 * torch.arange(2.0).view(1, 2, 1, 1, 1)
    seen = set()
    for _ in range(200):
        kept, same = keep(x, labels)
        assert same is labels
        assert torch.equal(kept[:, 1], kept[:, 0] + 10), "the same frames of every clip"
        seen.add(tuple(kept[:, 0].flatten().int().tolist()))
    assert seen == {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)}
