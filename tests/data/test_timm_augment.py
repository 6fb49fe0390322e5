"""The photographs' augmentation against timm's own, option by option, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from snnbench.data import TimmAugment
from snnbench.data.augment import BatchTransform
from snnbench.errors import UserError

timm_data = pytest.importorskip("timm.data")
SIZE, CLASSES, MEAN = 32, 5, (0.485, 0.456, 0.406)


def augment(**options: object) -> TimmAugment:
    return TimmAugment(**{"name": "mine", "size": SIZE, "num_classes": CLASSES, "mean": MEAN, **options})


def test_rand_augment_is_what_timms_script_makes() -> None:
    words = "rand-m7-mstd0.5-inc1"
    official = timm_data.create_transform(
        SIZE, is_training=True, auto_augment=words, interpolation="bicubic", mean=MEAN, std=(1, 1, 1)
    ).transforms
    crop, flip, ours = augment(rand_augment=words, scale=[0.2, 1.0]).sample
    theirs = official[2]
    assert ours.num_layers == theirs.num_layers
    assert [(op.name, op.magnitude, op.prob, op.hparams, op.kwargs) for op in ours.ops] == [
        (op.name, op.magnitude, op.prob, op.hparams, op.kwargs) for op in theirs.ops
    ]
    assert (list(crop.ratio), crop.interpolation.value) == (pytest.approx(official[0].ratio), "bicubic")
    assert (crop.scale, crop.size) == ((0.2, 1.0), (SIZE, SIZE))
    assert flip.p == 0.5


def test_erasing_is_timms() -> None:
    official = timm_data.random_erasing.RandomErasing(probability=0.25, mode="pixel")
    (ours,) = augment(erase=0.25, erase_with="noise").mixed
    assert (ours.p, ours.scale) == (official.probability, (official.min_area, official.max_area))
    assert [math.log(side) for side in ours.ratio] == pytest.approx(official.log_aspect_ratio)
    torch.manual_seed(0)
    (noise,), (zeros,) = augment(erase=1.0, erase_with="noise").mixed, augment(erase=1.0).mixed
    noisy, cut = noise(torch.zeros(3, SIZE, SIZE)), zeros(torch.ones(3, SIZE, SIZE)) == 0
    assert noisy[noisy != 0].std() == pytest.approx(1.0, abs=0.2)
    assert 0.01 < cut.float().mean() < 0.35
    assert augment(erase=0.0).mixed == []


@pytest.mark.parametrize(
    ("options", "kinds", "share"),
    [
        ({"mixup": 0.8, "cutmix": 1.0}, {v2.MixUp, v2.CutMix}, 1.0),
        ({"mixup": 0.2, "cutmix": 1.0, "mix_share": 0.6}, {v2.MixUp, v2.CutMix}, 0.6),
        ({"cutmix": 1.0}, {v2.CutMix}, 1.0),
        ({}, set(), 0.0),
        ({"mixup": 0.8, "mix_share": 0.0}, set(), 0.0),
    ],
)
def test_a_share_of_the_batches_is_mixed_by_either_kind(options: dict, kinds: set, share: float) -> None:
    transforms = augment(**options).batch
    found = {type(one) for outer in transforms for one in _choices(outer)}
    assert found == kinds
    torch.manual_seed(0)
    x, y = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 8, 8), torch.arange(4)
    mixed = [not torch.equal(BatchTransform(transforms, CLASSES)(x, y)[0], x) for _ in range(200)]
    assert sum(mixed) / 200 == pytest.approx(share, abs=0.1)


def _choices(transform: object) -> list:
    inner = transform.transforms if isinstance(transform, v2.RandomChoice) else transform.transforms[0].transforms
    return list(inner)


def test_images_keep_their_size_and_draws_follow_the_generators() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 41, 3), np.uint8))
    outcomes = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        np.random.seed(seed)
        result = image
        for transform in augment(rand_augment="rand-m9-n1-inc1").sample[:2]:
            result = transform(result)
        outcomes.append(np.asarray(result))
    assert outcomes[0].shape == (SIZE, SIZE, 3)
    assert np.array_equal(outcomes[0], outcomes[1])
    assert not np.array_equal(outcomes[0], outcomes[2])


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("scale", [0.5, 0.2], r"^augment.scale=\[0.5, 0.2\]: must be a list of ascending"),
        ("scale", [0.0, 1.0], r"^augment.scale="),
        ("rand_augment", "autoaugment", r"^augment.rand_augment='?autoaugment'?: is not what timm understands"),
        ("rand_augment", "rand-x9", r"^augment.rand_augment="),
        ("rand_augment", 9, r"^augment.rand_augment=9"),
        ("mixup", -0.1, r"^augment.mixup=-0.1: must be a number in"),
        ("cutmix", math.nan, r"^augment.cutmix="),
        ("mix_share", 1.5, r"^augment.mix_share=1.5"),
        ("erase", 2, r"^augment.erase=2"),
        ("erase_with", "zero", r"^augment.erase_with='zero': unknown. Did you mean 'zeros'\?"),
        ("batch_epochs", -1, r"^augment.batch_epochs=-1"),
    ],
)
def test_what_makes_no_sense_is_refused(option: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        augment(**{option: value})
