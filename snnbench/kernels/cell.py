"""What the kernels ask of a neuron, and the checks every engine shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

State = dict[str, Tensor]


class Unfusable(Exception):
    """A step that no kernel can be made from; the message names the neuron, what it is, and the line."""


class NoEngine(Exception):
    """An engine that cannot be had here; the message says why, and what would mend it."""


class Cell(Protocol):
    """A neuron as the kernels see it: a pure step, the names of its states, and its coefficients."""

    states: tuple[str, ...]
    per_step: tuple[str, ...]
    engine: str
    spike: Any

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Any) -> tuple[Tensor, State]: ...

    def coefficients(self) -> dict[str, Tensor]: ...


def check_call(cell: Cell, x: Tensor, state: State | None, coefficients: Mapping[str, Tensor]) -> None:
    """Refuse an input that no engine could run, with the shapes in the message.

    `coefficients` is what the cell returned for this call.

    Raises:
        ValueError: x is not floating point, lacks time or batch, T is 0, or a state or coefficient does not fit.
    """
    name = type(cell).__name__
    if x.dim() < 2 or x.shape[0] == 0 or not x.is_floating_point():
        raise ValueError(f"{name} takes a floating-point [T, B, ...] with T >= 1, got {x.dtype} {list(x.shape)}")
    for key, value in (state or {}).items():
        if key not in cell.states:
            raise ValueError(f"{name} has no state {key!r}; its states are {', '.join(cell.states)}")
        if value.shape != x.shape[1:]:
            raise ValueError(f"{name}: state {key!r} is {list(value.shape)}, x[t] is {list(x.shape[1:])}")
    for key, value in coefficients.items():
        _check_coefficient(name, key, value, x, key in cell.per_step)


def _check_coefficient(name: str, key: str, value: Tensor, x: Tensor, per_step: bool) -> None:
    shape = list(value.shape)
    if per_step and (not shape or shape.pop(0) != x.shape[0]):
        raise ValueError(f"{name}: coefficient {key!r} {list(value.shape)} is per timestep, x has T={x.shape[0]}")
    if len(shape) > 1 or (shape and (x.dim() < 3 or shape[0] != x.shape[2])):
        raise ValueError(
            f"{name}: coefficient {key!r} {list(value.shape)} does not fit x {list(x.shape)}; "
            "a coefficient is one number, or one for each channel (dimension 2 of x)"
        )
