"""One way to turn (seed, step, ...) into the state of the random generators in use."""

from __future__ import annotations

import contextlib
import functools
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

Made = TypeVar("Made")
_MASK = (1 << 64) - 1


def mix(*values: int) -> int:
    """Hash integers to 64 well-spread bits (splitmix64), the same on every machine and in every process."""
    state = 0
    for value in values:
        state = (state ^ (value & _MASK)) + 0x9E3779B97F4A7C15 & _MASK
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state


def mix_each(*values: int | NDArray[np.int64]) -> NDArray[np.uint64]:
    """`mix` of each row of numbers and arrays [N], uint64 [N]."""
    state = np.zeros(1, np.uint64)
    for value in values:
        array = np.atleast_1d(np.asarray(value, np.int64)).astype(np.uint64)  # which wraps around, as the mask does
        state = (state ^ array) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ state >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ state >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return state


def seed_cpu(*values: int) -> None:
    """Seed the CPU generators of PyTorch, Python and NumPy. The GPU's generators are left alone."""
    seed = mix(*values)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed looks at every device and costs 100 times more
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)


def seed_all(*values: int) -> None:
    """Seed the CPU generators and, where CUDA is in use, those of every GPU."""
    seed_cpu(*values)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(mix(*values))


@contextlib.contextmanager
def aside(*values: int) -> Iterator[None]:
    """Inside, PyTorch's CPU generator is another one, seeded with `values`; the one outside misses nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(mix(*values))
        yield


def drawn_aside(make: Callable[..., Made], seed: int) -> Callable[..., Made]:
    """The same factory, each of whose products draws from a stream of its own."""
    numbers = itertools.count()

    @functools.wraps(make)
    def build(*given: Any, **options: Any) -> Made:
        with aside(seed, next(numbers)):
            return make(*given, **options)

    return build
