from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from snnbench.data.events import splits
from snnbench.data.events.cifar10dvs import CIFAR10DVS
from snnbench.data.events.gesture import IBMGesture
from snnbench.data.events.splits import Sample
from snnbench.data.splits import stratified_split

ALL = [Sample(f"{label}/{number}", label, "", number) for label in range(10) for number in range(1000)]
EXPECTED = {
    "first100_test": set(range(100)),
    "last100_test": set(range(900, 1000)),
    "last10pct_lexicographic": {*range(91, 100), *range(909, 1000)},
}


def numbers(parts: np.ndarray, label: int) -> set[int]:
    assert set(parts) == {"train", "test"}
    return {s.number for s, part in zip(ALL, parts, strict=True) if part == "test" and s.label == label}


@pytest.mark.parametrize("name", CIFAR10DVS.splits)
def test_a_tenth_of_each_class_is_held_out(name):
    test = CIFAR10DVS.splits[name](ALL, 5)
    for label in range(10):
        assert len(numbers(test, label)) == 100
        if name in EXPECTED:
            assert numbers(test, label) == EXPECTED[name]


def test_the_published_splits_differ_by_hundreds_of_files():
    lexicographic, last = (splits.last10pct_lexicographic(ALL, 0), splits.last100_test(ALL, 0))
    assert ((lexicographic == "test") & (last == "train")).sum() == 90


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
    samples = [Sample("a", 0, "train", 1), Sample("b", 0, "test", 1), Sample("c", 0, "", 1)]
    assert splits.by_part(samples, 0).tolist() == ["train", "test", ""]


def test_first78_leaves_as_many_samples_as_the_logs_of_plif():
    recordings = [("train", f"user{n:02d}_led.aedat") for n in reversed(range(98))]
    recordings += [("test", f"user{n}_led.aedat") for n in range(98, 122)]
    samples = [
        Sample(f"{name}#{i}", label, part, 0) for part, name in recordings for i, label in enumerate([*range(11), 7])
    ]
    parts = IBMGesture.splits["first78"](samples, 0)
    assert Counter(parts.tolist()) == {"train": 936, "test": 288, "": 240}
    kept = {sample.name.partition("_")[0] for sample, part in zip(samples, parts, strict=True) if part == "train"}
    assert kept == {f"user{n:02d}" for n in range(20, 98)}, "the first of the list, not of the alphabet"
    labels = torch.tensor([sample.label for sample, part in zip(samples, parts, strict=True) if part == "train"])
    assert tuple(map(len, stratified_split(labels, 0.15, 0, "last"))) == (803, 133)
