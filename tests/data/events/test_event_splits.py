from __future__ import annotations

import numpy as np
import pytest

from snnbench.data.events import splits
from snnbench.data.events.cifar10dvs import CIFAR10DVS
from snnbench.data.events.splits import Sample

ALL = [Sample(f"{label}/{number}", label, "", number) for label in range(10) for number in range(1000)]
EXPECTED = {
    "first100_test": set(range(100)),
    "last100_test": set(range(900, 1000)),
    "last10pct_lexicographic": {*range(91, 100), *range(909, 1000)},
}


def numbers(test: np.ndarray, label: int) -> set[int]:
    return {sample.number for sample, held in zip(ALL, test, strict=True) if held and sample.label == label}


@pytest.mark.parametrize("name", CIFAR10DVS.splits)
def test_a_tenth_of_each_class_is_held_out(name):
    test = CIFAR10DVS.splits[name](ALL, 5)
    assert test.dtype == bool
    for label in range(10):
        assert len(numbers(test, label)) == 100
        if name in EXPECTED:
            assert numbers(test, label) == EXPECTED[name]


def test_the_published_splits_differ_by_hundreds_of_files():
    lexicographic, last = (splits.last10pct_lexicographic(ALL, 0), splits.last100_test(ALL, 0))
    assert (lexicographic & ~last).sum() == 90


def test_spikingjelly_cuts_the_lexicographic_order_likewise(sj_datasets):
    order = sorted(range(1000), key=lambda n: f"cifar10_cat_{n}.npz")  # as torchvision's folders list them
    _, theirs = sj_datasets._split_class_indices([list(range(1000))], 0.9, False)
    assert {order[i] for i in theirs} == EXPECTED["last10pct_lexicographic"]


def test_random_follows_from_its_seed_alone():
    a, again, b = splits.random(ALL, 1), splits.random(ALL, 1), splits.random(ALL, 2)
    assert (a == again).all()
    assert (a != b).any()
    assert numbers(a, 0) != numbers(a, 1)


def test_by_part():
    samples = [Sample("a", 0, "train", 1), Sample("b", 0, "test", 1)]
    assert splits.by_part(samples, 0).tolist() == [False, True]
