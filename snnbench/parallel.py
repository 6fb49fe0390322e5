"""Work on many things by all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

MANY = 100
Item = TypeVar("Item")
Result = TypeVar("Result")


def each(work: Callable[[Item], Result], items: Sequence[Item], many: int | None = None) -> list[Result]:
    """`work` of each item, in their order; where there are `many` or more (default: MANY), by several processes."""
    if len(items) < (MANY if many is None else many):
        return list(map(work, items))
    with ProcessPoolExecutor() as pool:
        return list(pool.map(work, items, chunksize=max(1, len(items) // (16 * (os.cpu_count() or 1)))))
