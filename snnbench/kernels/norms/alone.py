"""A batch norm that no neuron follows, as an autograd function: two passes forward, two backward; y is kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from snnbench.kernels.derivatives import differentiated
from snnbench.kernels.norms.norm import Norm, Place, available, differentiate, fits, gather, normalize, table
from snnbench.kernels.plain import plain, watched


def suits(y: Tensor, norm: Norm) -> bool:
    """Whether the functions of norm.py may run this call; else it is PyTorch's norm and neuron."""
    channels = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    values = (y, *channels)
    return (
        y.dim() in (3, 5)
        and all(value.dtype is torch.float32 for value in values)
        and all(value.shape == y.shape[2:3] and value.is_contiguous() for value in channels)
        and y.numel() > y.shape[2] * (y.shape[0] if norm.per_step else 1)
        and plain(y.device, *values)
        and fits(y)
        and not watched()
        and (y.device.type != "cpu" or available())
    )


def batch_norm(y: Tensor, norm: Norm) -> Tensor | None:
    """The norm of y [T, B, C, ...]; None where PyTorch's own must run."""
    if y.device.type != "cpu" or not suits(y, norm):
        return None
    z: Tensor = _Norm.apply(norm, y, norm.weight, norm.bias)
    return z


class _Norm(Function):
    @staticmethod
    def forward(ctx: Any, norm: Norm, y: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        place = Place(y, norm)
        found = table(norm, y, place)
        if True in ctx.needs_input_grad:
            ctx.save_for_backward(y, weight, bias, found)
            ctx.norm, ctx.place = norm, place
        return normalize(y, found, place)

    @staticmethod
    def backward(ctx: Any, gz: Tensor) -> Any:
        y, weight, bias, found = ctx.saved_tensors
        _, wants_y, wants_weight, wants_bias = ctx.needs_input_grad
        y, gz = ctx.place.laid(y), ctx.place.laid(gz)
        if torch.is_grad_enabled() or watched() or not plain(y.device, y, gz):
            wanted = (wants_y, wants_weight, wants_bias)

            def norm(*given: Tensor) -> list[Tensor]:
                return [by_pytorch(ctx.norm, found, *given)]

            return (None, *differentiated(norm, (y, weight, bias), wanted, [gz]))
        gy = torch.empty_like(y) if wants_y else None
        sums = gather(y, gz, found, ctx.place)
        gy, gweight, gbias = differentiate(ctx.norm, y, gz, gy, found, sums, ctx.place)
        return None, gy, gweight if wants_weight else None, gbias if wants_bias else None


def by_pytorch(norm: Norm, found: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The norm in PyTorch's operations, for a derivative that no function here gives; no running statistics move."""
    scaled = weight * norm.gain
    if not norm.training:
        shape = (-1, *[1] * (y.dim() - 3))
        mean, invstd = found[2].view(shape), found[3].view(shape)
        return (y - mean) * (invstd * scaled.view(shape)) + bias.view(shape)
    frames = y.flatten(0, 1)
    if norm.per_step:
        parts = [functional.batch_norm(frame, None, None, scaled, bias, True, 0.0, norm.eps) for frame in y]
        return torch.stack(parts)
    return functional.batch_norm(frames, None, None, scaled, bias, True, 0.0, norm.eps).unflatten(0, y.shape[:2])
