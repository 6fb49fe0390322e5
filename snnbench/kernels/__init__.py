"""A neuron's step, run over time by the best engine there is."""

from __future__ import annotations

from torch import Tensor

from snnbench.errors import UserError, did_you_mean
from snnbench.kernels import reference
from snnbench.kernels.cell import Cell, State, check_call

__all__ = ["ENGINES", "Cell", "State", "check_engine", "run"]

ENGINES = ("auto", "reference", "cpu", "cuda")


def check_engine(engine: str) -> str:
    """`engine`, if it is one of ENGINES; else a UserError."""
    if engine not in ENGINES:
        hint = did_you_mean(engine, ENGINES)
        raise UserError(f"engine={engine!r}: unknown.{hint} Allowed: {', '.join(ENGINES)}.")
    return engine


def run(cell: Cell, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
    """Spikes and final state of `cell` over x [T, B, ...], from `state` or from zeros."""
    check_call(cell, x, state)
    return reference.run(cell, x, state)
