"""A neuron's step, run over time: by the reference, by a library op under torch.compile, or by a kernel directly."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from snnbench.kernels import fused, fused_ops
from snnbench.kernels.bind import _tell as tell
from snnbench.kernels.cell import Cell, State, check_call
from snnbench.kernels.coefficients import coefficients_of
from snnbench.kernels.engines import reference
from snnbench.kernels.engines.registry import AUTO, REFERENCE


def run(cell: Cell, x: Tensor, state: State | None = None, *, last: bool = True) -> tuple[Tensor, State]:
    """Spikes and final state of `cell` over x [T, B, ...], from `state` or from zeros.

    An x made by `x0.expand(T, ...)` or `repeat` is read once, and its gradient goes to x0 directly, unless somebody
    asks for that of x.

    Args:
        cell: the neuron.
        x: input current, time first; channels are dimension 2.
        state: the state to start from; what it lacks is zero.
        last: whether the final state is wanted; without, the state returned is empty and nothing is written for it.

    Raises:
        UserError: `cell.engine` names an engine, and that one cannot be had or cannot run this neuron.
        ValueError: x, a state or a coefficient has a shape or dtype that no engine can take.
    """
    if cell.engine == REFERENCE or (cell.engine == AUTO and getattr(cell, "not_fusable", None)):
        coefficients = coefficients_of(cell, x.device)
        check_call(cell, x, state, coefficients)
        return reference.run(cell, x, state, coefficients)
    if torch.compiler.is_compiling():
        if torch.compiler.is_exporting():  # what is loaded elsewhere finds no kernel of this process
            _say_unless_exporting()
            return reference.run(cell, x, state)
        return fused_ops.run(cell, x, state, last)
    return fused.run(cell, x, state, last)


@torch.compiler.assume_constant_result  # so called, not compiled: within, is_exporting() tells the truth
def _say_unless_exporting() -> None:
    """Say that PyTorch 2.11 calls no kernel: it takes all it compiles for an export, and a neuron for no constant."""
    if not torch.compiler.is_exporting():
        version = torch.__version__.partition("+")[0]
        tell(logging.WARNING, f"torch.compile of PyTorch {version} cannot call kernels: neurons run as operations")
