"""A call of a neuron inside torch.compile: a pair of library ops, which it takes as they are."""

from __future__ import annotations

from torch import Tensor

from snnbench.kernels import reference
from snnbench.kernels.cell import Cell, State


def run(cell: Cell, x: Tensor, state: State | None, last: bool) -> tuple[Tensor, State]:
    """As snnbench.kernels.run."""
    return reference.run(cell, x, state)
