"""A curve beside the authors': block by block of epochs, do the two agree within tolerance and noise?

Two runs that differ in their seeds alone differ from epoch to epoch, at random, and for good, by a little. The first is
measured from the curves themselves: the standard deviation of their first differences, divided by sqrt(2), in which a
constant and a trend cancel. The second cannot be seen in one curve of the authors; for it stands the row's tolerance.
So the mean difference of a block of n epochs counts as one where it exceeds

    tolerance + ERRORS sqrt((own noise^2 + the authors' noise^2) / n).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from snnbench.files import read_bytes
from snnbench.results.selection import Selection, choose, not_real
from snnbench.runs.curves import layer_rows
from snnbench.runs.read import Run
from snnbench.runs.recipe import describe, differences
from snnbench.runs.schema import LAYERS

WIDTH, NARROW = 20, 5  # epochs of a block; of a shorter run, a quarter of them, and no less than this
LEAST = 3  # epochs to be compared at all: of fewer there is no telling noise
ERRORS = (
    4.0  # standard errors; a block of equal curves is outside by chance less than once in 200, without any tolerance
)
W_TOLERANCE = (
    0.3  # of PLIF's w between seeds: nine in ten of the authors' layers lie closer with and without held-out data
)
PRECISION = frozenset({"trainer.precision", "eval_precision"})
PLIF_RATE = "rate"  # as layers.csv names PLIF's coefficient, sigmoid(w) = 1 / tau


@dataclass(frozen=True)
class Block:
    """Two curves over the epochs `first` to `last`: means, noise from epoch to epoch, and how far apart they may be."""

    first: int
    last: int
    own: float
    official: float
    own_noise: float
    official_noise: float
    limit: float

    @property
    def difference(self) -> float:
        return self.own - self.official

    @property
    def side(self) -> int:
        """1 above the authors' curve, -1 below it, 0 within the limit."""
        return 0 if abs(self.difference) <= self.limit else int(math.copysign(1, self.difference))


@dataclass(frozen=True)
class Verdict:
    """What the last block says, and since which epoch all later ones have said it."""

    side: int
    since: int

    @property
    def agrees(self) -> bool:
        return self.side == 0

    def __str__(self) -> str:
        if self.agrees:
            return "agrees" if self.since == 0 else f"agrees from epoch {self.since} on"
        return f"{'above' if self.side > 0 else 'below'} from epoch {self.since} on"


def blocks(own: Mapping[int, float], official: Sequence[float], tolerance: float) -> list[Block]:
    """The epochs that both have, in blocks counted from the last one back; the first block takes what is over.

    Args:
        own: values by epoch, counted from 0.
        official: the value after epoch e at place e.
        tolerance: how far apart two seeds may stay, in the values' unit.

    Returns:
        Rising in epochs; none where both have fewer than LEAST epochs.
    """
    epochs = sorted(epoch for epoch in own if epoch < len(official))
    if len(epochs) < LEAST:
        return []
    width = min(WIDTH, max(NARROW, len(epochs) // 4))
    first = len(epochs) % width
    starts = [0, *range(first + width, len(epochs), width)]
    found = [epochs[start:end] for start, end in zip(starts, [*starts[1:], len(epochs)], strict=True)]
    return [_block(part, [own[e] for e in part], [official[e] for e in part], tolerance) for part in found]


def _block(epochs: Sequence[int], own: Sequence[float], official: Sequence[float], tolerance: float) -> Block:
    noises = noise(own), noise(official)
    limit = tolerance + ERRORS * math.hypot(*noises) / math.sqrt(len(epochs))
    return Block(epochs[0], epochs[-1], statistics.fmean(own), statistics.fmean(official), *noises, limit)


def noise(values: Sequence[float]) -> float:
    """Standard deviation from epoch to epoch around a straight trend; of at least three values."""
    steps = [after - before for before, after in pairwise(values)]
    return statistics.stdev(steps) / math.sqrt(2)


def verdict(found: Sequence[Block]) -> Verdict:
    """Of at least one block."""
    side, since = found[-1].side, found[-1].first
    for block in reversed(found):
        if block.side != side:
            break
        since = block.first
    return Verdict(side, since)


def excursions(found: Sequence[Block]) -> list[tuple[int, int, int]]:
    """(side, first epoch, last epoch) of two or more blocks in a row outside on one side, before the last stretch."""
    stretches: list[list[Block]] = []
    for block in found:
        if stretches and stretches[-1][0].side == block.side:
            stretches[-1].append(block)
        else:
            stretches.append([block])
    return [(s[0].side, s[0].first, s[-1].last) for s in stretches[:-1] if s[0].side and len(s) > 1]


def comparable(runs: Iterable[Run], recipe: Mapping[str, Any]) -> Selection:
    """Runs of this recipe on the real data, finished or not; of each seed the one that got furthest.

    Where there is none, those that differ from it in precision alone: a CPU has no float16, and the authors' curve is
    still the best to be had beside a run in float32. `other_precision` says in words that it is such a run.
    """
    furthest = sorted(runs, key=lambda run: -max(run.curve, default=-1))
    found = choose(furthest, lambda run: _why_not(run, recipe, frozenset()))
    return found if found.counted else choose(furthest, lambda run: _why_not(run, recipe, PRECISION))


def _why_not(run: Run, recipe: Mapping[str, Any], free: Set[str]) -> str | None:
    if not_real(run):
        return not_real(run)
    differing = differences(run.flat, recipe)
    if not differing.keys() <= free:
        return f"another recipe than the row's: {describe(differing)}"
    return None if run.curve else "metrics.csv has no test accuracies"


def other_precision(run: Run, recipe: Mapping[str, Any]) -> str:
    """In which precision a run was made that differs from the recipe in that alone; "" where it does not."""
    differing = differences(run.flat, recipe)
    return describe(differing) if differing and differing.keys() <= PRECISION else ""


def mean_curve(curves: Iterable[Mapping[int, float]]) -> dict[int, float]:
    """By epoch, the mean over the curves that reached it."""
    found: dict[int, list[float]] = {}
    for curve in curves:
        for epoch, value in curve.items():
            found.setdefault(epoch, []).append(value)
    return {epoch: statistics.fmean(found[epoch]) for epoch in sorted(found)}


def plif_w(run: Run) -> dict[str, dict[int, float]]:
    """PLIF's w by layer, from the input on, and epoch, from sigmoid(w) in layers.csv; {} where it has none."""
    found: dict[str, dict[int, float]] = {}
    try:
        for epoch, layer, quantity, value in layer_rows(read_bytes(run.folder / LAYERS)):
            if quantity == PLIF_RATE and 0 < (rate := float(value)) < 1:
                found.setdefault(layer, {})[int(epoch)] = math.log(rate / (1 - rate))
    except (OSError, ValueError):
        return {}
    return found
