"""A convolution of spikes on the CPU: it adds weights where there is a spike, and keeps a bit of each for the backward.

With x in {0, 1}, y[p] = bias + sum of w[:, c, tap] over the taps and channels whose spike is set, and the weight's
gradient is the sum of the output's gradient over the positions whose spike is set. Work falls with the firing rate.
Both sums are made in an order that depends on shapes alone. The input's gradient is dense, and needs no x. Where x is
no spikes, or many, the dense convolution runs (dense.py).
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from snnbench.kernels.engines.build import machine
from snnbench.kernels.plain import floats, plain, watched
from snnbench.kernels.spikes import dense
from snnbench.kernels.spikes.bits import Bits, channels_last, memory_format, pack
from snnbench.kernels.spikes.library import call, library
from snnbench.kernels.spikes.recipes import again, hand_on, remember
from snnbench.kernels.spikes.shape import Shape, plain_memory

__all__ = ["again", "convolve", "hand_on"]

FEWEST = 32
"""Channels, of input and of output, below which the dense convolution is faster."""
PLACES = 1 << 16
"""Positions of a frame with its border must stay below."""


@functools.cache
def limits(outputs: int, kernel: int, multiplies: bool) -> tuple[float, float]:
    """Shares of ones above which the dense forward, and the dense weight gradient, are faster on this machine.

    Fixed numbers, not times taken on the way: two equal runs must take the same path. They lie where the times of
    both met, or below: 64 to 512 channels, maps of 32x32 to 2x2, one core of a Zen 5, in turn with oneDNN; those
    without AVX-512, with oneDNN held to AVX2. Fewer outputs at once repeat the work of finding their spikes; a
    convolution of 1x1 has little else to do.

    Args:
        outputs, kernel: of the weight.
        multiplies: whether the dense forward is Winograd's, not oneDNN's.
    """
    wide = " avx512f " in machine()
    if kernel == 1:
        return (0.1, 0.12) if wide else (0.3, 0.5)
    if multiplies:
        forward = 0.3 if outputs % 64 == 0 else 0.15
        return (forward, 0.33) if wide else (1.5 * forward, 0.45)
    if not wide:
        return 0.6, 0.7
    return 0.5 if outputs % 64 == 0 else 0.4 if outputs % 32 == 0 else 0.3, 0.5


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, *, keeps: bool = False
) -> Tensor | None:
    """As `torch.nn.functional.conv2d`; None where PyTorch's own is as good.

    Args:
        x: [N, C, H, W].
        weight: [O, C, K, K].
        bias: [O] or None.
        stride, padding: of both directions.
        keeps: whether the output remembers how it came about, for `again`, where x is spikes.

    Returns:
        [N, O, H', W'], laid out in memory as x is. Its sums are not in oneDNN's order, but as near to exact.
    """
    if not _suits(x, weight, bias, padding):
        return None
    multiplies = dense.multiplies(x.shape, weight.shape, stride, padding, channels_last(x))
    bits = pack(x.detach()) if _may_add(x, weight) else None
    if bits is None:
        return _Dense.apply(x, weight, bias, stride, padding) if multiplies else None
    trains = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias))
    ours = multiplies or bits.density <= limits(weight.shape[0], weight.shape[2], multiplies)[0]
    if not (trains or ours):
        return None
    y: Tensor = _Convolution.apply(x, weight, bias, bits, stride, padding)
    if keeps and ours and not torch.is_inference_mode_enabled():

        def compute() -> Tensor:
            with torch.no_grad():
                return _forward(None, weight, bias, bits, stride, padding)

        remember(y, compute, weight, bias)
    return y


def _suits(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> bool:
    _, channels, kernel, width = weight.shape
    given = (x, weight) if bias is None else (x, weight, bias)
    return (
        channels == x.shape[1]
        and kernel == width
        and padding < kernel
        and min(x.shape[2:]) + 2 * padding >= kernel
        and x.numel() > 0
        and x.device.type == "cpu"
        and all(t.dtype == torch.float32 for t in given)
        and plain(x.device, *given)
        and not watched()
        and not torch.is_autocast_enabled("cpu")
        and library() is not None
    )


def _may_add(x: Tensor, weight: Tensor) -> bool:
    outputs, channels, kernel, _ = weight.shape
    return (
        min(channels, outputs) >= FEWEST
        and outputs % 16 == 0
        and (x.shape[2] + 2 * kernel) * (x.shape[3] + 2 * kernel) < PLACES
        and x.numel() < 1 << 32
    )


def _forward(x: Tensor | None, weight: Tensor, bias: Tensor | None, bits: Bits, stride: int, padding: int) -> Tensor:
    """The output, from the bits or from x, which is made of them where it is None."""
    multiplies = dense.multiplies(bits.shape, weight.shape, stride, padding, bits.last)
    if bits.density > limits(weight.shape[0], weight.shape[2], multiplies)[0]:
        return dense.forward(bits.unpack() if x is None else x, weight, bias, stride, padding, bits.last)
    shape = Shape(bits.shape, weight.shape, stride, padding, bits.last, bits.ones)
    y = floats(*shape.output, last=bits.last)
    call("convolve", shape.array(), bits.words, plain_memory(weight), plain_memory(bias), y)
    return y


class _Convolution(Function):
    """Of spikes. Saves the bits and the weight, never x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, bits: Bits, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(weight, bits.words)
        ctx.bits, ctx.stride, ctx.padding = (bits.shape, bits.last, bits.ones), stride, padding
        return _forward(x, weight, bias, bits, stride, padding)

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError("the convolution of spikes has no second derivative; take engine='reference'")
        weight, words = ctx.saved_tensors
        bits, stride, padding = Bits(words, *ctx.bits), ctx.stride, ctx.padding
        wants_x, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        multiplies = dense.multiplies(bits.shape, weight.shape, stride, padding, bits.last)
        most = limits(weight.shape[0], weight.shape[2], multiplies)[1]
        adds = wants_weight and bits.density <= most and plain(gy.device, gy)
        given = (gy, bits.unpack, bits.shape, weight, stride, padding, bits.last)
        gx, gw = dense.gradients(*given, (wants_x, wants_weight and not adds))
        if adds:
            gw = floats(*weight.shape)
            g = gy.contiguous(memory_format=memory_format(bits.last))
            shape = Shape(bits.shape, weight.shape, stride, padding, bits.last, bits.ones)
            call("differentiate", shape.array(), words, g, gw)
        return gx, gw, gy.sum((0, 2, 3)) if wants_bias else None, None, None, None


class _Dense(Function):
    """Of any values, channels last: Winograd's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return dense.forward(x, weight, bias, stride, padding, True)

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        wanted, stride, padding = ctx.needs_input_grad[:3], ctx.stride, ctx.padding
        if torch.is_grad_enabled():  # to be differentiated once more
            fixed = ((stride, stride), (padding, padding), (1, 1), False, (0, 0), 1)
            found = torch.ops.aten.convolution_backward(gy, x, weight, [weight.shape[0]], *fixed, wanted)
            return *found, None, None
        gx, gw = dense.gradients(gy, lambda: x, x.shape, weight, stride, padding, True, wanted[:2])
        return gx, gw, gy.sum((0, 2, 3)) if wanted[2] else None, None, None
