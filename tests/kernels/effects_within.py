"""What a step may write from within another function, or where an error is caught."""

from __future__ import annotations

from typing import Any

from effects import writes
from torch import Tensor

TOTAL = 1.5


@writes("self.number")
def counts_where_an_error_is_caught(self: Any, x: Tensor) -> Tensor:
    try:
        return x * self.missing
    except AttributeError:
        self.number += 1
    return x * self.number


@writes("TOTAL")
def sets_a_global_in_a_function(self: Any, x: Tensor) -> Tensor:
    def count() -> float:
        global TOTAL
        return [TOTAL := TOTAL + 1.0 for _ in range(2)][1]

    return x * count()


@writes("self.number")
def deletes_and_sets(self: Any, x: Tensor) -> Tensor:
    number = self.number
    del self.number
    self.number = number + 1
    return x * number


def around() -> Any:
    count = 1.5

    @writes("the variable count")
    def counts_in_a_variable_around(self: Any, x: Tensor) -> Tensor:
        def one() -> float:
            nonlocal count
            count += 1
            return count

        return x * one()

    return counts_in_a_variable_around


COUNTING, _ = around()
