"""Convolutions 3x3 in fewer multiplications: Winograd's F(2x2, 3x3) (Lavin and Gray, CVPR 2016), float32, channels last.

Each of the three passes takes 0.5 to 0.7 of oneDNN's time on one core, from 32 channels on, with AVX-512 and AVX2 alike,
and is as near to float64: its sums are nine times shorter, which outweighs what the transforms add.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from snnbench.kernels.derivatives import differentiated
from snnbench.kernels.engines.build import machine
from snnbench.kernels.engines.cpu import threads
from snnbench.kernels.native import Native
from snnbench.kernels.plain import plain, watched

FEWEST = 32
"""Channels, of input and of output, below which oneDNN's is as fast."""
_cpp = Native(Path(__file__).with_name("winograd.cpp"))


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor | None:
    """As `torch.nn.functional.conv2d`, with gradients; None where that is to be called.

    Args:
        x: [N, C, H, W].
        weight: [O, C, K, K].
        bias: [O] or None.
        stride, padding: of both directions.
    """
    if not suits(x, weight, bias, stride, padding) or watched():
        return None
    y: Tensor = _Convolution.apply(x, weight, bias)
    return y


def suits(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> bool:
    """Whether the functions here can take the place of oneDNN's for this call, and are faster."""
    given = (x, weight) if bias is None else (x, weight, bias)
    outputs, channels, *kernel = weight.shape
    return (
        kernel == [3, 3]
        and (stride, padding) == (1, 1)
        and x.shape[1] == channels
        and min(outputs, channels) >= FEWEST
        and outputs % 16 == channels % 16 == 0
        and min(x.shape[2:]) > 1
        and x.numel() > 0
        and all(t.dtype == torch.float32 for t in given)
        and x.is_contiguous(memory_format=torch.channels_last)
        and x.device.type == "cpu"
        and plain(x.device, *given)
        and not torch.is_autocast_enabled("cpu")
        and all(feature in machine() for feature in (" avx2 ", " fma "))
        and _cpp.library is not None
    )


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, *, flipped: bool = False) -> Tensor:
    """The convolution; `flipped`, the input's gradient of one with this weight, whose output's gradient is x."""
    n, channels, height, width = x.shape
    outputs = weight.shape[1 if flipped else 0]
    y = torch.empty((n, outputs, height, width), memory_format=torch.channels_last)
    bias = bias if bias is None else bias.contiguous()
    _cpp.call("convolve", _shape(x, channels, outputs, flipped), x, weight.contiguous(), bias, y)
    return y


def weight_gradient(x: Tensor, gy: Tensor) -> Tensor:
    """[O, C, 3, 3] of x [N, C, H, W] and the output's gradient [N, O, H, W], both channels last."""
    gw = torch.empty((gy.shape[1], x.shape[1], 3, 3))
    _cpp.call("differentiate", _shape(x, x.shape[1], gy.shape[1], False), x, gy, gw)
    return gw


def _shape(x: Tensor, inputs: int, outputs: int, flipped: bool) -> ctypes.Array[ctypes.c_long]:
    """The numbers of winograd.cpp's Shape."""
    n, _, height, width = x.shape
    numbers = (n, height, width, inputs, outputs, int(flipped), threads(x.numel()))
    return (ctypes.c_long * len(numbers))(*numbers)


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        return forward(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> Any:
        given, wanted = ctx.saved_tensors, ctx.needs_input_grad
        x, weight, _ = given
        gy = gy.contiguous(memory_format=torch.channels_last)
        if torch.is_grad_enabled() or watched() or not (plain(gy.device, gy) and suits(*given, 1, 1)):
            return tuple(differentiated(lambda x, w, b: functional.conv2d(x, w, b, 1, 1), given, wanted, gy))
        gx = forward(gy, weight, None, flipped=True) if wanted[0] else None
        gw = weight_gradient(x, gy) if wanted[1] else None
        return gx, gw, gy.sum((0, 2, 3)) if wanted[2] else None
