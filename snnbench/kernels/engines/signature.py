"""What a call of a neuron looks like to an engine, and how tensors are brought into the form that kernels take."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from snnbench.kernels.codegen.program import Program
from snnbench.kernels.engines.layout import Layout, layout, same_frames

IO = {torch.float32: "float", torch.float16: "half", torch.bfloat16: "bfloat"}
"""The dtypes that x and the spikes may have, and what the kernels call them."""
ALIGNED = 16
"""Addresses of states are a multiple of this, so that a GPU reads four numbers at once."""


@dataclasses.dataclass(frozen=True)
class Signature:
    """All of a call but the numbers. Engines keep one kernel for each.

    Attributes:
        shape, strides: of x, [T, B, ...]; strides[0] is 0 for an input that is constant over time.
        dtype: of x and the spikes.
        static: x is constant over time, and its gradient is to be summed over time.
        coefficients: the shapes of the coefficients.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype
    static: bool
    coefficients: tuple[tuple[int, ...], ...]

    def channelled(self, program: Program) -> tuple[bool, ...]:
        """Of each coefficient, whether it has one value per channel (a single channel counts as none)."""
        return tuple(
            len(shape) > per_step and shape[-1] > 1
            for shape, per_step in zip(self.coefficients, program.per_step, strict=True)
        )

    def layout(self, program: Program) -> Layout:
        return layout(self.shape, self.strides, any(self.channelled(program)))


def frames(value: Tensor, strides: tuple[int, ...]) -> Tensor:
    """`value` [T, ...] with frames laid out as `strides` says: itself, or a copy where it is not so."""
    given = value.stride()
    if given == strides or same_frames(tuple(value.shape[1:]), given[1:], strides[1:]):
        return value
    return torch.empty_strided(value.shape, strides, dtype=value.dtype, device=value.device).copy_(value)


def frame(value: Tensor | None, strides: tuple[int, ...]) -> Tensor | None:
    """A state, as float32 laid out as `strides` says, at an aligned address: itself, or a copy where it is not so."""
    if value is None:
        return None
    here = value.dtype == torch.float32 and value.data_ptr() % ALIGNED == 0
    if here and same_frames(tuple(value.shape), value.stride(), strides[1:]):
        return value
    return torch.empty_strided(value.shape, strides[1:], dtype=torch.float32, device=value.device).copy_(value)
