"""A neuron's step, run over time by the best engine there is."""

from __future__ import annotations

import torch
from torch import Tensor

from snnbench.errors import UserError, did_you_mean
from snnbench.kernels.cell import Cell, State, check_call
from snnbench.kernels.engines import reference

__all__ = ["ENGINES", "Cell", "State", "check_engine", "run"]

ENGINES = ("auto", "reference", "cpu", "cuda")


def check_engine(engine: str) -> str:
    """`engine`, if it is one of ENGINES; else a UserError."""
    if engine not in ENGINES:
        hint = did_you_mean(engine, ENGINES)
        raise UserError(f"engine={engine!r}: unknown.{hint} Allowed: {', '.join(ENGINES)}.")
    return engine


def run(cell: Cell, x: Tensor, state: State | None = None, *, last: bool = True) -> tuple[Tensor, State]:
    """Spikes and final state of `cell` over x [T, B, ...], from `state` or from zeros.

    An x made by `x0.expand(T, ...)` is read once, and its gradient goes to x0 directly.

    Args:
        cell: the neuron.
        x: input current, time first; channels are dimension 2.
        state: the state to start from; what it lacks is zero.
        last: whether the final state is wanted; without, the state returned is empty and nothing is written for it.

    Raises:
        UserError: `cell.engine` is "cpu" or "cuda", and that engine cannot be had or cannot run this neuron.
        ValueError: x, a state or a coefficient has a shape or dtype that no engine can take.
    """
    if cell.engine == "reference" or (cell.engine == "auto" and getattr(cell, "not_fusable", None)):
        check_call(cell, x, state)
        return reference.run(cell, x, state)
    if torch.compiler.is_compiling():
        return fused_ops.run(cell, x, state, last)
    return fused.run(cell, x, state, last)


from snnbench.kernels import fused, fused_ops  # noqa: E402
