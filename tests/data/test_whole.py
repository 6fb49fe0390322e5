"""Whole batches come out as their samples do one by one: the same draws, the same bytes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from image_files import image_data, ready
from torchvision.transforms import v2

from snnbench.data import Cutout, RandomRedErasing
from snnbench.data.images import dataset
from snnbench.data.images.dataset import ImageDataset, MemoryImages
from snnbench.data.images.whole import whole
from snnbench.data.images.words import MOST, Draws, first_words
from snnbench.seeding import mix, mix_each


def images(n: int, height: int, width: int, channels: int = 3) -> MemoryImages:
    generator = torch.Generator().manual_seed(n)
    pixels = torch.randint(1, 256, (n, height, width, channels), dtype=torch.uint8, generator=generator)
    return MemoryImages(pixels, torch.arange(n) % 10)


def samples(transforms: list, *, n: int = 64, size: tuple[int, int, int] = (32, 32, 3), seed: int = 3) -> ImageDataset:
    channels = size[2]
    positions = torch.randperm(n, generator=torch.Generator().manual_seed(1))
    return ImageDataset(
        images(n, *size), positions, mean=[0.4] * channels, std=[0.3] * channels, transforms=transforms, seed=seed
    )


def one_by_one(data: ImageDataset, keys: list[tuple[int, int]]) -> torch.Tensor:
    with torch.random.fork_rng():
        return data._normalise(torch.stack([data._sample(key) for key in keys]))


RECIPES = {
    "crop_flip": lambda size: [v2.RandomCrop(size, padding=4), v2.RandomHorizontalFlip(0.5)],
    "flip_crop": lambda size: [v2.RandomHorizontalFlip(0.3), v2.RandomCrop(size, padding=(1, 2, 3, 0))],
    "vertical": lambda size: [v2.RandomVerticalFlip(0.7), v2.RandomCrop((size[0] - 2, size[1]))],
    "crop_cutout": lambda size: [
        v2.RandomCrop(size, padding=4), v2.RandomHorizontalFlip(), v2.PILToTensor(), Cutout(1, 16)
    ],
    "cutout_flip": lambda size: [
        v2.RandomCrop(size, padding=4), v2.PILToTensor(), RandomRedErasing(), v2.RandomHorizontalFlip()
    ],
    "holes_then_moves": lambda size: [
        v2.PILToTensor(), Cutout(3, 5), RandomRedErasing(0.8), v2.RandomVerticalFlip(), v2.RandomHorizontalFlip(),
        RandomRedErasing(0.8), v2.RandomCrop(size, padding=3), Cutout(2, 4), v2.RandomHorizontalFlip(),
    ],
    "cutout_of_pil": lambda size: [Cutout(2, 6), v2.RandomHorizontalFlip()],
    "always_and_never": lambda size: [v2.RandomHorizontalFlip(1.0), v2.RandomVerticalFlip(0.0)],
}  # fmt: skip


@pytest.mark.parametrize("size", [(32, 32, 3), (28, 28, 1), (7, 13, 3), (33, 5, 1)], ids=str)
@pytest.mark.parametrize("name", RECIPES)
def test_every_row_is_what_the_transforms_make_of_it(name: str, size: tuple[int, int, int]) -> None:
    data = samples(RECIPES[name](size[:2]), size=size)
    assert data.batched
    keys = [(draw, index) for draw in (0, 1, 7) for index in range(len(data))]
    x, y = data.__getitems__(keys)
    assert torch.equal(x, one_by_one(data, keys))
    assert torch.equal(y, data.labels.repeat(3))
    assert x.is_contiguous()
    assert x.dtype == torch.float32
    assert torch.equal(x[70], data.__getitems__([keys[70]])[0][0]), "alone as among others"


def test_many_samples_and_many_seeds() -> None:
    for seed in (0, 1, 2**40 + 5, 2**63 - 1):
        data = samples(RECIPES["cutout_flip"]((32, 32)), n=600, seed=seed)
        keys = [(draw % 5 + 3 * (draw % 2), draw) for draw in range(600)]
        assert torch.equal(data.__getitems__(keys)[0], one_by_one(data, keys))


def test_whole_batches_draw_nothing_from_the_global_generators() -> None:
    data = samples(RECIPES["crop_flip"]((32, 32)))
    assert data.batched
    torch.manual_seed(4)
    np.random.seed(4)
    expected = torch.rand(2), np.random.rand()
    torch.manual_seed(4)
    np.random.seed(4)
    data.__getitems__([(2, 3), (2, 4)])
    assert torch.equal(torch.rand(2), expected[0])
    assert np.random.rand() == expected[1]


def test_a_data_set_can_be_sent_to_a_worker_that_is_no_copy_of_this_process() -> None:
    data = samples(RECIPES["holes_then_moves"]((32, 32)))
    keys = [(2, n) for n in range(8)]
    expected, _ = data.__getitems__(keys)
    assert torch.equal(pickle.loads(pickle.dumps(data)).__getitems__(keys)[0], expected)


class MyFlip(v2.RandomHorizontalFlip):
    """May do anything."""


@pytest.mark.parametrize(
    "transforms",
    [
        [MyFlip()],
        [v2.RandomHorizontalFlip(), v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)],
        [v2.RandomCrop(32, padding=4, padding_mode="reflect")],
        [v2.RandomCrop(32, padding=4, fill=128)],
        [v2.RandomCrop(36, pad_if_needed=True)],
        [v2.PILToTensor(), Cutout(MOST, 2)],
    ],
)
def test_what_needs_each_image_is_left_to_it(transforms: list) -> None:
    data = samples(transforms)
    assert not data.batched
    keys = [(1, 2), (0, 5)]
    assert torch.equal(data.__getitems__(keys)[0], one_by_one(data, keys))


def test_normalized_transforms_see_their_images() -> None:
    options = {"mean": [0.5] * 3, "std": [0.5] * 3, "seed": 0, "normalized": [v2.RandomErasing(p=1.0)]}
    data = ImageDataset(images(4, 8, 8), torch.arange(4), transforms=[v2.RandomHorizontalFlip()], **options)
    assert not data.batched
    assert (data[0][0] == 0).any()


def test_another_torchvision_than_was_meant_is_noticed(monkeypatch, caplog) -> None:
    caplog.set_level("INFO", "snnbench")
    keys = [(1, n) for n in range(9)]
    expected = samples(RECIPES["crop_flip"]((32, 32))).__getitems__(keys)[0]
    monkeypatch.setattr(dataset, "first_words", lambda seeds, count: first_words(seeds + np.uint64(1), count))
    data = samples(RECIPES["crop_flip"]((32, 32)))
    assert not data.batched
    assert torch.equal(data.__getitems__(keys)[0], expected)
    assert [record.getMessage() for record in caplog.records] == [
        "this torchvision augments differently: images are augmented one by one"
    ]


def test_words_are_those_of_pytorchs_generator() -> None:
    seeds = np.array([0, 1, 5489, 2**32 - 1, 2**32 + 7, 2**64 - 1], np.uint64)
    draws = Draws(torch.from_numpy(first_words(seeds, MOST).astype(np.int64)))
    generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    for k in range(MOST // 2):
        stop = 3 * k**2 + 1
        assert draws.below(stop).tolist() == [int(torch.randint(stop, (), generator=g)) for g in generators]
        assert draws.uniform().tolist() == [float(torch.rand((), generator=g)) for g in generators]


def test_samples_outside_of_a_mask_draw_nothing() -> None:
    words = torch.arange(12).view(3, 4)
    draws, first = Draws(words), torch.tensor([True, False, True])
    assert draws.below(100, first)[first].tolist() == [0, 8]
    assert draws.below(100).tolist() == [1, 4, 9]
    assert draws.below(torch.tensor([2, 3, 4])).tolist() == [0, 2, 2]


def test_seeds_are_mixed_alike_one_by_one_and_together() -> None:
    positions = np.array([0, 1, 49_999, 2**62], np.int64)
    for seed, draw in ((0, 0), (7, 3), (2**63 - 1, 300)):
        assert mix_each(seed, draw, positions).tolist() == [mix(seed, draw, int(p)) for p in positions]


def test_nothing_to_do_is_no_transform() -> None:
    assert whole([]) is None
    assert samples([], seed=0).plain


def test_augmented_batches_need_no_worker_but_beside_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    augmented, plain = (ready(image_data("digits", name, num_workers="auto")) for name in ("crop_flip", "none"))
    asked = ready(image_data("digits", "crop_flip", num_workers=2))
    for cuda, workers in ((False, [0, 0, 2]), (True, [1, 0, 2])):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        assert [data.train_dataloader().num_workers for data in (augmented, plain, asked)] == workers
