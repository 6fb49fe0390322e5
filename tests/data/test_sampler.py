from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch

from snnbench.data.sampler import EvalBatches, TrainBatches
from snnbench.seeding import mix, seed_cpu


def flat(batches: TrainBatches | EvalBatches) -> list[tuple[int, int]]:
    return list(itertools.chain.from_iterable(batches))


@pytest.mark.parametrize("drop_last", [False, True])
def test_an_epoch_draws_every_sample_once(drop_last: bool) -> None:
    batches = TrainBatches(23, 5, seed=1, drop_last=drop_last)
    sizes = [len(batch) for batch in batches]
    assert sizes == [5, 5, 5, 5] + ([] if drop_last else [3])
    assert len(batches) == len(sizes)
    indices = [index for _, index in flat(batches)]
    assert len(set(indices)) == len(indices)
    assert set(indices) <= set(range(23))


def test_order_depends_on_seed_and_epoch_alone() -> None:
    orders = {
        (seed, e): flat(TrainBatches(50, 8, seed=seed, epoch_of=lambda e=e: e)) for seed in (0, 1) for e in (0, 1)
    }
    assert len({tuple(index for _, index in order) for order in orders.values()}) == 4
    torch.manual_seed(123)
    assert flat(TrainBatches(50, 8, seed=1, epoch_of=lambda: 1)) == orders[1, 1]
    assert {draw for draw, _ in orders[1, 1]} == {1}


def test_epoch_is_asked_for_when_iteration_starts() -> None:
    epoch = 0
    batches = TrainBatches(10, 4, seed=0, epoch_of=lambda: epoch)
    iterator = iter(batches)
    epoch = 7
    assert next(iterator)[0][0] == 7


@pytest.mark.parametrize("world", [2, 3, 6])
@pytest.mark.parametrize("repeats", [1, 3])
def test_devices_share_the_batches_of_one_device(world: int, repeats: int) -> None:
    one = list(TrainBatches(43, 12, seed=3, repeats=repeats))
    shares = [list(TrainBatches(43, 12, seed=3, repeats=repeats, rank=r, world=world)) for r in range(world)]
    for step, batch in enumerate(one):
        parts = [share[step] for share in shares]
        assert len({len(part) for part in parts}) == 1, "devices must agree on the size, or DDP's mean is wrong"
        together = [key for part in parts for key in part]
        assert together[: len(batch)] == batch
        assert len(together) - len(batch) < world


def test_repeats_keep_the_epoch_length_and_give_each_copy_its_own_draw() -> None:
    batches = TrainBatches(30, 12, seed=0, repeats=3, epoch_of=lambda: 5)
    keys = flat(batches)
    assert len(keys) == 30
    assert len(set(keys)) == 30
    assert sorted({draw for draw, _ in keys}) == [15, 16, 17]
    assert len({index for _, index in keys}) == 10
    for batch in batches:
        neighbours = zip(batch, batch[1:] + batch[:1], strict=True)
        assert len(batch) < 12 or all(a[1] != b[1] for a, b in neighbours), "MixUp would mix a sample with itself"


@pytest.mark.parametrize("world", [1, 2, 3])
def test_evaluation_counts_each_sample_once(world: int) -> None:
    shares = [EvalBatches(31, 6, rank=r, world=world) for r in range(world)]
    for share in shares:
        assert len(list(share)) == len(share)
        assert max(len(batch) for batch in share) <= 6 // world
    assert sorted(index for share in shares for _, index in flat(share)) == list(range(31))


def test_mix_separates_neighbours() -> None:
    values = {mix(s, e, i) for s in range(4) for e in range(20) for i in range(50)}
    assert len(values) == 4000
    low = np.array([mix(0, 0, i) & 0xFFFFFFFF for i in range(4000)]) / 2**32
    assert abs(low.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(low[:-1], low[1:])[0, 1]) < 0.06
    assert mix(1, 2) != mix(2, 1)
    assert mix(0) != mix(0, 0)
    assert mix(-1) < 2**64


def test_seed_sample_seeds_all_three_generators() -> None:
    def draw() -> tuple[float, float, float]:
        return torch.rand(()).item(), random.random(), float(np.random.rand())

    seed_cpu(1, 2, 3)
    first = draw()
    seed_cpu(1, 2, 4)
    other = draw()
    seed_cpu(1, 2, 3)
    assert draw() == first
    assert all(a != b for a, b in zip(first, other, strict=True))
