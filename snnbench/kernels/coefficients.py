"""What a neuron's `coefficients()` returns, as tensors: a number stands for a constant."""

from __future__ import annotations

import numbers
from typing import Any

import torch
from torch import Tensor

from snnbench.errors import UserError


def coefficients_of(cell: Any, device: torch.device) -> dict[str, Tensor]:
    """The coefficients of `cell` by name; numbers become tensors on `device`.

    Raises:
        UserError: one is neither a tensor nor a real number.
    """
    named: dict[str, Tensor] = cell.coefficients()
    for value in named.values():
        if not isinstance(value, Tensor):
            return {name: _tensor(cell, name, value, device) for name, value in named.items()}
    return named


def _tensor(cell: Any, name: str, value: object, device: torch.device) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if not isinstance(value, numbers.Real):
        what = f"{type(cell).__name__}: coefficient {name!r} is a {type(value).__name__}"
        raise UserError(f"{what}; it must be a tensor, or a number for a constant.")
    return torch.full((), float(value), dtype=torch.float64, device=device)
