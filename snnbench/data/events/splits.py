"""Named ways to divide samples into training and test samples. Each is published, or seeded."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Sample(NamedTuple):
    """One labelled sample. `number` is the one in its file's name; `part` is "train", "test" or "" for neither."""

    name: str
    label: int
    part: str
    number: int


Parts = NDArray[np.str_]
Split = Callable[[Sequence[Sample], int], Parts]
"""(samples, seed) -> the part that each belongs to, str [N]: "train", "test", or "" for neither."""


def by_part(samples: Sequence[Sample], seed: int) -> Parts:
    """As the publisher divided them."""
    return np.array([sample.part for sample in samples], np.str_)


def first100_test(samples: Sequence[Sample], seed: int) -> Parts:
    """Files 0-99 of each class are the test set (TET, PSN, AR-LIF)."""
    return _parts([sample.number < 100 for sample in samples])


def last100_test(samples: Sequence[Sample], seed: int) -> Parts:
    """Files 900-999 of each class are the test set (CLIF)."""
    return _parts([sample.number >= 900 for sample in samples])


def last10pct_lexicographic(samples: Sequence[Sample], seed: int) -> Parts:
    """The last tenth of each class with the numbers sorted as text (SpikingJelly's split function; FSTA-SNN).

    So 100 comes before 11: of 1000 files, 91-99 and 909-999 are the test set.
    """
    return _per_class(samples, lambda members: sorted(members, key=lambda i: str(samples[i].number)))


def random(samples: Sequence[Sample], seed: int) -> Parts:
    """A tenth of each class, drawn with `seed`."""
    generator = np.random.Generator(np.random.PCG64(seed))
    return _per_class(samples, lambda members: [members[i] for i in generator.permutation(len(members))])


def _parts(test: Sequence[bool] | NDArray[np.bool_]) -> Parts:
    """Everything that is not in the test set is in the training set."""
    return np.where(test, "test", "train")


def _per_class(samples: Sequence[Sample], order: Callable[[list[int]], list[int]]) -> Parts:
    """The test set has the samples after the first ceil(0.9 n) of each class, in `order`."""
    test = np.zeros(len(samples), bool)
    for label in sorted({sample.label for sample in samples}):
        members = [i for i, sample in enumerate(samples) if sample.label == label]
        test[order(members)[math.ceil(0.9 * len(members)) :]] = True
    return _parts(test)
