"""A convolution of spikes on the CPU: it adds weights where there is a spike, and keeps a bit of each for the backward.

With x in {0, 1}, y[p] = bias + sum of w[:, c, tap] over the taps and channels whose spike is set, and the weight's
gradient is the sum of the output's gradient over the positions whose spike is set. Work falls with the firing rate.
Both sums are made in an order that depends on shapes alone. The input's gradient is dense, and needs no x.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from snnbench.kernels.engines.build import machine
from snnbench.kernels.engines.cpu import threads
from snnbench.kernels.plain import plain, watched
from snnbench.kernels.spikes.bits import Bits, memory_format, pack
from snnbench.kernels.spikes.library import call, library

FEWEST = 32
"""Channels, of input and of output, below which the dense convolution is faster."""
PLACES = 1 << 16
"""Positions of a frame with its border must stay below."""
FIELDS = "n height width channels outputs kernel stride padding rows columns threads last ones"
"""The numbers of spikes.cpp's Shape."""


@functools.cache
def limits(outputs: int, kernel: int) -> tuple[float, float]:
    """Shares of ones above which the dense forward, and the dense weight gradient, are faster on this machine.

    Fixed numbers, not times taken on the way: two equal runs must take the same path. They are where the times of
    both met, or below, for 64 to 512 channels on maps of 32x32 to 2x2 on one core of a Zen 5, in turn with oneDNN; those
    without AVX-512, with oneDNN held to AVX2. Fewer outputs at once repeat the work of finding their spikes; a
    convolution of 1x1 has little else to do.
    """
    wide = " avx512f " in machine()
    if kernel == 1:
        return (0.1, 0.12) if wide else (0.3, 0.5)
    if not wide:
        return 0.6, 0.7
    return 0.5 if outputs % 64 == 0 else 0.4 if outputs % 32 == 0 else 0.3, 0.5


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, *, keeps: bool = False
) -> Tensor | None:
    """As `torch.nn.functional.conv2d`; None where x is not spikes, or the dense convolution is as good.

    Args:
        x: [N, C, H, W].
        weight: [O, C, K, K].
        bias: [O] or None.
        stride, padding: of both directions.
        keeps: whether the output remembers how it came about, for `again`.

    Returns:
        [N, O, H', W'], laid out in memory as x is. Its sums are not in oneDNN's order, but as near to exact.
    """
    if not _suits(x, weight, bias, stride, padding):
        return None
    bits = pack(x.detach())
    if bits is None:
        return None
    trains = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias))
    most, _ = limits(weight.shape[0], weight.shape[2])
    if not trains and bits.density > most:
        return None
    y: Tensor = _Convolution.apply(x, weight, bias, bits, stride, padding)
    if keeps and bits.density <= most and not torch.is_inference_mode_enabled():
        _remember(y, Recipe(bits, weight, bias, stride, padding, _versions(weight, bias)))
    return y


def again(y: Tensor) -> Callable[[], Tensor] | None:
    """A function that computes y, the output of a convolution of spikes, once more: bit for bit, as it lay in memory.

    None where y does not remember it (`convolve(keeps=True)`), or was changed since. What the function stands on
    are bits, an eighth of a byte for each input, and the weight; it raises RuntimeError if these were changed.
    """
    recipe, version = vars(y).get(_RECIPE, (None, None))
    if recipe is None or version != y._version:
        return None
    return functools.partial(_made, recipe, y.shape)


def hand_on(y: Tensor, view: Tensor) -> Tensor:
    """`view`, of all of y in y's order, which remembers what y does."""
    recipe, version = vars(y).get(_RECIPE, (None, None))
    if recipe is not None and version == y._version:
        _remember(view, recipe)
    return view


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What an output was computed from."""

    bits: Bits
    weight: Tensor
    bias: Tensor | None
    stride: int
    padding: int
    versions: tuple[int, ...]


_RECIPE = "snnbench_recipe"


def _remember(y: Tensor, recipe: Recipe) -> None:
    vars(y)[_RECIPE] = (recipe, y._version)


def _versions(*values: Tensor | None) -> tuple[int, ...]:
    return tuple(0 if value is None else value._version for value in values)


def _made(recipe: Recipe, shape: torch.Size) -> Tensor:
    if _versions(recipe.weight, recipe.bias) != recipe.versions:
        raise RuntimeError("a convolution was to be computed again, but its weight has changed since")
    with torch.no_grad():
        return _added(recipe.bits, recipe.weight, recipe.bias, recipe.stride, recipe.padding).view(shape)


def _suits(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> bool:
    outputs, channels, kernel, width = weight.shape
    given = (x, weight) if bias is None else (x, weight, bias)
    return (
        channels == x.shape[1]
        and min(channels, outputs) >= FEWEST
        and outputs % 16 == 0
        and kernel == width
        and padding < kernel
        and (x.shape[2] + 2 * kernel) * (x.shape[3] + 2 * kernel) < PLACES
        and x.numel() < 1 << 32
        and min(x.shape[2:]) + 2 * padding >= kernel
        and x.device.type == "cpu"
        and all(t.dtype == torch.float32 for t in given)
        and plain(x.device, *given)
        and not watched()
        and not torch.is_autocast_enabled("cpu")
        and library() is not None
    )


class _Convolution(Function):
    """Saves the bits and the weight, never x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, bits: Bits, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(weight, bits.words)
        ctx.bits, ctx.stride, ctx.padding = (bits.shape, bits.last, bits.ones), stride, padding
        if bits.density > limits(weight.shape[0], weight.shape[2])[0]:
            return functional.conv2d(x, weight, bias, stride, padding)
        return _added(bits, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError("the convolution of spikes has no second derivative; take engine='reference'")
        weight, words = ctx.saved_tensors
        bits, stride, padding = Bits(words, *ctx.bits), ctx.stride, ctx.padding
        wants_x, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        adds = wants_weight and bits.density <= limits(weight.shape[0], weight.shape[2])[1] and plain(gy.device, gy)
        gx, gw = _dense(gy, bits, weight, stride, padding, (wants_x, wants_weight and not adds, False))
        if adds:
            gw = torch.empty(weight.shape)
            g = gy.contiguous(memory_format=memory_format(bits.last))
            call("differentiate", _Shape(bits, weight, stride, padding).array(), words, g, gw)
        return gx, gw, gy.sum((0, 2, 3)) if wants_bias else None, None, None, None


def _added(bits: Bits, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    shape = _Shape(bits, weight, stride, padding)
    y = torch.empty((shape.n, shape.outputs, shape.rows, shape.columns), memory_format=memory_format(bits.last))
    call("convolve", shape.array(), bits.words, weight.contiguous(), None if bias is None else bias.contiguous(), y)
    return y


def _dense(
    gy: Tensor, bits: Bits, weight: Tensor, stride: int, padding: int, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of x and of the weight by oneDNN. For x's own, nothing of x is read but shape and layout."""
    if not any(wanted):
        return None, None
    x = bits.unpack() if wanted[1] else torch.empty(bits.shape, memory_format=memory_format(bits.last))
    fixed = ((stride, stride), (padding, padding), (1, 1), False, (0, 0), 1)
    gx, gw, _ = torch.ops.aten.convolution_backward(gy, x, weight, None, *fixed, wanted)
    return gx, gw


class _Shape:
    """The numbers of spikes.cpp's Shape."""

    def __init__(self, bits: Bits, weight: Tensor, stride: int, padding: int) -> None:
        self.n, self.channels, self.height, self.width = bits.shape
        self.outputs, _, self.kernel, _ = weight.shape
        self.stride, self.padding, self.last, self.ones = stride, padding, int(bits.last), bits.ones
        self.rows, self.columns = ((side + 2 * padding - self.kernel) // stride + 1 for side in bits.shape[2:])
        self.threads = threads(self.n * self.rows * self.columns * self.outputs)

    def array(self) -> ctypes.Array[ctypes.c_long]:
        values = [int(getattr(self, name)) for name in FIELDS.split()]
        return (ctypes.c_long * len(values))(*values)
