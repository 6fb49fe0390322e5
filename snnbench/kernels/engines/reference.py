"""The reference engine: the step, in plain PyTorch, in a Python loop over time."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from snnbench.kernels.cell import Cell, State


def run(cell: Cell, x: Tensor, state: State | None, given: Mapping[str, Tensor] | None = None) -> tuple[Tensor, State]:
    """Run `cell` over x [T, B, ...]; states and arithmetic are at least float32, spikes have x's dtype.

    `given` is what the cell has returned as its coefficients for this call, if it was asked already.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    given = cell.coefficients() if given is None else given
    coefficients = {name: value.to(dtype) for name, value in given.items()}
    state = dict(state) if state is not None else {}
    for name in cell.states:
        state.setdefault(name, torch.zeros_like(x[0], dtype=dtype))
    spikes = []
    with torch.autocast(x.device.type, enabled=False):
        for t, current in enumerate(x.unbind(0)):
            c = {name: _at(value, t, name in cell.per_step, x) for name, value in coefficients.items()}
            s, state = cell.step(current.to(dtype), state, c, cell.spike)
            spikes.append(s)
        return torch.stack(spikes).to(x.dtype), state


def _at(value: Tensor, t: int, per_step: bool, x: Tensor) -> Tensor:
    """The coefficient of timestep t, shaped to broadcast against x[t]."""
    if per_step:
        value = value[t]
    return value.view(-1, *[1] * (x.dim() - 3)) if value.dim() else value
