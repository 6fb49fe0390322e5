from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snnbench.data.splits import stratified_split


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


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_extremes(fraction: float) -> None:
    first, second = stratified_split(torch.arange(12) % 3, fraction, seed=0)
    assert (len(first), len(second)) == ((12, 0) if fraction == 0 else (0, 12))
