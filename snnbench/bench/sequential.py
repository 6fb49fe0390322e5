"""Paired differences, looked at after every seed, with intervals that hold at all looks together.

A seed's difference d_i is one neuron's accuracy minus the other's, in percentage points, under one seed. After n of
them the interval is mean ± t(n-1) sd / sqrt(n), where t is a quantile of Student's distribution, not at the level
alpha, but at the one smaller level at which the intervals of all looks from `least` to `most` hold at once with
probability 1 - alpha: repeated confidence intervals (Jennison and Turnbull, J. R. Stat. Soc. B 51, 1989) with Pocock's
constant level. That level depends on nothing but `least`, `most` and alpha, since the statistics' joint distribution
under no difference is free of the spread; it is found by simulation, with a fixed seed. So whoever stops because of
what an interval says is wrong with probability alpha at most, where the d_i are independent and normal.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

DRAWS = 100_000
"""Simulated campaigns. The level at which all looks hold is then known to 1.4 % of itself at an alpha of 0.05, by the
5,000 campaigns beyond it, and to 4 % at 0.05 / 9."""
Verdict = Literal["better", "worse", "same"]


@cache
def level(least: int, most: int, alpha: float) -> float:
    """The two-sided level of each look at which all looks together have the level `alpha`."""
    from scipy import stats

    draws = np.random.default_rng(20260101).standard_normal((DRAWS, most), dtype=np.float32).astype(np.float64)
    counts = np.arange(1, most + 1)
    means = draws.cumsum(1) / counts
    squares = (draws**2).cumsum(1) - counts * means**2
    looks = slice(least - 1, most)
    t = np.abs(means[:, looks]) * np.sqrt(counts[looks] * (counts[looks] - 1) / squares[:, looks])
    smallest = (2 * stats.t.sf(t, counts[looks] - 1)).min(1)
    return float(np.quantile(smallest, alpha, method="lower"))


@dataclass(frozen=True)
class Estimate:
    """A mean difference with its interval, in percentage points.

    Attributes:
        mean: over the seeds.
        low, high: the repeated confidence interval.
        chance: that the true difference is above 0: Student's posterior under a flat prior.
        n: seeds.
        sd: standard deviation of the seeds' differences, no less than the grid that accuracies lie on lets be seen.
    """

    mean: float
    low: float
    high: float
    chance: float
    n: int
    sd: float

    def verdict(self, margin: float) -> Verdict | None:
        """What the interval says: without 0 in it one side; within the margin that it does not matter; else nothing."""
        if self.low > 0:
            return "better"
        if self.high < 0:
            return "worse"
        return "same" if -margin < self.low and self.high < margin else None

    @property
    def largest(self) -> float:
        """The largest difference that the interval leaves possible."""
        return max(abs(self.low), abs(self.high))


def estimate(differences: Sequence[float], each: float, grid: float) -> Estimate:
    """Of at least two seeds' differences.

    Args:
        differences: in percentage points, one a seed.
        each: the level of this look, see `level`.
        grid: above 0, the distance between two values that a difference can have. Rounding to it has the standard
            deviation grid / sqrt(6); a smaller one, such as that of a few equal differences, is not believed.
    """
    from scipy import stats

    n = len(differences)
    mean, sd = statistics.fmean(differences), max(statistics.stdev(differences), grid / math.sqrt(6))
    error = sd / math.sqrt(n)
    reach = float(stats.t.isf(each / 2, n - 1)) * error
    return Estimate(mean, mean - reach, mean + reach, float(stats.t.cdf(mean / error, n - 1)), n, sd)
