from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snnbench.data.events.nmnist import NMNIST
from snnbench.data.splits import CHOICES, stratified_split


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.floats(0, 1), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_parts_are_disjoint_complete_and_stratified(labels: list[int], fraction: float, seed: int) -> None:
    y = torch.tensor(labels)
    first, second = stratified_split(y, fraction, seed)
    assert sorted(first.tolist() + second.tolist()) == list(range(len(labels)))
    for label in set(labels):
        members, held_out = (y == label).sum().item(), (y[second] == label).sum().item()
        assert abs(held_out - fraction * members) <= 0.5


def test_seed_decides_and_the_global_generator_does_not() -> None:
    y = torch.arange(200) % 10
    torch.manual_seed(1)
    _, a = stratified_split(y, 0.3, seed=4)
    torch.manual_seed(2)
    _, b = stratified_split(y, 0.3, seed=4)
    _, c = stratified_split(y, 0.3, seed=5)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_extremes(fraction: float, choice: str) -> None:
    first, second = stratified_split(torch.arange(12) % 3, fraction, seed=0, choice=choice)
    assert (len(first), len(second)) == ((12, 0) if fraction == 0 else (0, 12))


def test_the_last_of_each_class_are_those_after_the_first_part_rounded_up() -> None:
    y = torch.tensor([0, 1, 0, 1, 0, 0, 1, 0])
    for seed in (0, 1):
        first, second = stratified_split(y, 0.25, seed, "last")  # 0.75 of 5 and of 3: 4 and 3 are kept
        assert second.tolist() == [7]
        assert first.tolist() == list(range(7))


PLIF_LOGS = {  # "train dataset len ..., val dataset len ..." of the official logs, and the samples of each class
    "mnist, nmnist": ((51005, 8995), NMNIST.per_class["Train"]),
    "cifar10": ((42500, 7500), [5000] * 10),
    "cifar10dvs": ((7650, 1350), [900] * 10),
    "dvs128gesture": ((803, 133), [78] * 7 + [156] + [78] * 3),
}


@pytest.mark.parametrize("name", PLIF_LOGS)
def test_the_last_15_percent_are_as_many_as_in_the_logs_of_plif(name: str) -> None:
    sizes, per_class = PLIF_LOGS[name]
    y = torch.repeat_interleave(torch.arange(len(per_class)), torch.tensor(per_class))
    assert tuple(map(len, stratified_split(y, 0.15, 0, "last"))) == sizes
