"""Dense convolutions and their gradients on the CPU: Winograd's where they are 3x3, channels last, else oneDNN's.

Winograd's F(2x2, 3x3) takes 4 products for what else takes 9. It comes as near to exact: its sums run over channels
alone, not over taps and channels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Size, Tensor
from torch.nn import functional

from snnbench.kernels.engines.build import machine
from snnbench.kernels.plain import floats, plain
from snnbench.kernels.spikes.library import call, library
from snnbench.kernels.spikes.shape import Shape, plain_memory


def multiplies(x: Size, weight: Size, stride: int, padding: int, last: bool) -> bool:
    """Whether Winograd's is taken. On maps that are smaller than its tiles, or hardly larger, oneDNN's is as fast."""
    outputs, channels, *kernel = weight
    height, width = x[2:]
    covered = height * width / ((height + height % 2) * (width + width % 2))
    return (
        last
        and kernel == [3, 3]
        and stride == 1
        and padding <= 2
        and channels % 16 == outputs % 16 == 0
        and covered > 0.6
        and (min(height, width) >= 4 or " avx512f " in machine())
        and _has_instructions()
    )


@functools.cache
def _has_instructions() -> bool:
    return library() is not None and call("multiplies") == 1


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, last: bool) -> Tensor:
    """As `torch.nn.functional.conv2d` of x [N, C, H, W], whose channels lie last in memory or first."""
    if not multiplies(x.shape, weight.shape, stride, padding, last):
        return functional.conv2d(x, weight, bias, stride, padding)
    shape = Shape(x.shape, weight.shape, stride, padding, last)
    y = floats(*shape.output, last=True)
    call("multiply", shape.array(), plain_memory(weight), plain_memory(bias), x, y)
    return y


def gradients(
    gy: Tensor,
    x: Callable[[], Tensor],
    shape: Size,
    weight: Tensor,
    stride: int,
    padding: int,
    last: bool,
    wanted: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of x, which has this shape, and of the weight; x itself is asked for only for the weight's."""
    wants_x, wants_weight = wanted
    gx = gw = None
    if multiplies(shape, weight.shape, stride, padding, last) and plain(gy.device, gy):
        numbers = Shape(shape, weight.shape, stride, padding, last).array()
        g = gy.contiguous(memory_format=torch.channels_last)
        if wants_x:
            gx = floats(*shape, last=True)
            call("multiply_back", numbers, plain_memory(weight), g, gx)
        if wants_weight:
            gw = floats(*weight.shape)
            call("multiply_weight", numbers, x(), g, gw)
    elif wants_x or wants_weight:
        full = x() if wants_weight else floats(*shape, last=last)
        fixed = ((stride, stride), (padding, padding), (1, 1), False, (0, 0), 1)
        wants = (wants_x, wants_weight, False)
        gx, gw, _ = torch.ops.aten.convolution_backward(gy, full, weight, None, *fixed, wants)
    return gx, gw
