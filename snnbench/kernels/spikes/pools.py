"""Average and maximum pools that keep next to nothing for the backward: no input, of a maximum one byte.

Results and gradients are PyTorch's, bit for bit: a window's values are met in the same order. What is not plain
float32 memory on a CPU, or is looked at by a transform, a mode or a compiler, is PyTorch's own.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional
from torch.nn.modules.utils import _pair

from snnbench.kernels.engines.cpu import threads
from snnbench.kernels.plain import plain, watched
from snnbench.kernels.spikes.bits import channels_last, memory_format
from snnbench.kernels.spikes.library import call, library

aten = torch.ops.aten


class Windows(NamedTuple):
    """The windows of a pool, as PyTorch's arguments name them; `include_pad` is an average's `count_include_pad`."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    ceil_mode: bool = False
    include_pad: bool = False

    @classmethod
    def of(cls, pool: nn.AvgPool2d | nn.MaxPool2d, include_pad: bool = False) -> Windows:
        """Those of a layer."""
        return cls(_pair(pool.kernel_size), _pair(pool.stride), _pair(pool.padding), pool.ceil_mode, include_pad)

    def sides(self, x: torch.Size) -> tuple[int, int]:
        """Rows and columns of the output of x [N, C, H, W]."""
        return tuple(map(self._side, x[2:], *self[:3]))  # type: ignore[return-value]

    def _side(self, length: int, kernel: int, stride: int, padding: int) -> int:
        covered = length + 2 * padding - kernel + (stride - 1 if self.ceil_mode else 0)
        windows = covered // stride + 1
        return windows - (self.ceil_mode and (windows - 1) * stride >= length + padding)

    def fits(self, x: torch.Size) -> bool:
        """Whether PyTorch takes them, too, for x [N, C, H, W], and a byte can name a value of one."""
        return (
            self.kernel[0] * self.kernel[1] <= 256
            and min(*self.kernel, *self.stride) > 0
            and all(0 <= 2 * pad <= size for pad, size in zip(self.padding, self.kernel, strict=True))
            and min(self.sides(x)) > 0
        )

    def apart(self, last: bool) -> bool:
        """Whether they lie apart, without a border, and are 2x2 values side by side where channels do not lie last."""
        if not last:
            return self.kernel == self.stride == (2, 2) and self.padding == (0, 0)
        return self.padding == (0, 0) and all(s >= k for s, k in zip(self.stride, self.kernel, strict=True))


def average_pool(x: Tensor, windows: Windows) -> Tensor | None:
    """As `torch.nn.functional.avg_pool2d` of x [N, C, H, W]; None where PyTorch's own has to run."""
    return _Average.apply(x, windows) if _suits(x, windows) else None


def max_pool(x: Tensor, windows: Windows) -> Tensor | None:
    """As `torch.nn.functional.max_pool2d` of x [N, C, H, W]; None where PyTorch's own has to run."""
    return _Maximum.apply(x, windows) if _suits(x, windows) else None


def adaptive_average_pool(x: Tensor, size: Any) -> Tensor | None:
    """As `torch.nn.functional.adaptive_avg_pool2d` of x [N, C, H, W]; None where PyTorch's own has to run.

    That is so for an average of everything, too: PyTorch takes the mean, which keeps nothing.
    """
    return _Adaptive.apply(x, size) if size not in (1, (1, 1)) and _memory(x) else None


def _memory(x: Tensor) -> bool:
    return (
        x.dim() == 4
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and x.numel() > 0
        and (x.is_contiguous() or channels_last(x))
        and plain(x.device, x)
        and not watched()
        and not torch.is_autocast_enabled("cpu")
    )


def _suits(x: Tensor, windows: Windows) -> bool:
    return _memory(x) and windows.fits(x.shape) and library() is not None


def _numbers(shape: torch.Size, windows: Windows) -> ctypes.Array[ctypes.c_long]:
    """pools.h's Pool."""
    values = (*shape, *windows.kernel, *windows.stride, *windows.padding, *windows.sides(shape), threads(shape.numel()))
    return (ctypes.c_long * len(values))(*values)


def _empty(shape: torch.Size | tuple[int, ...], last: bool, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="cpu", memory_format=memory_format(last))


def _direct(gy: Tensor) -> bool:
    """Whether a kernel may make the gradient: it is memory, and nobody wants to differentiate it once more."""
    return not torch.is_grad_enabled() and gy.dtype == torch.float32 and plain(gy.device, gy) and not watched()


class _Average(Function):
    """Saves no tensor. Where windows overlap or have a border, PyTorch's own runs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, windows: Windows) -> Tensor:
        ctx.shape, ctx.last, ctx.windows = x.shape, channels_last(x), windows
        if not windows.apart(ctx.last):
            return functional.avg_pool2d(x, *windows)
        y = _empty((*x.shape[:2], *windows.sides(x.shape)), ctx.last)
        call("average_pool", _numbers(x.shape, windows), x, y, int(ctx.last))
        return y

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> Any:
        if not ctx.windows.apart(ctx.last) or not _direct(gy):
            return aten.avg_pool2d_backward(gy, _empty(ctx.shape, ctx.last), *ctx.windows, None), None
        rows, columns = ctx.windows.sides(ctx.shape)
        (kernel, stride), format_ = ctx.windows[:2], memory_format(ctx.last)
        covered = kernel == stride and rows * kernel[0] >= ctx.shape[2] and columns * kernel[1] >= ctx.shape[3]
        gx = _empty(ctx.shape, ctx.last)
        if ctx.last and not covered:
            gx.zero_()
        call(
            "average_unpool", _numbers(ctx.shape, ctx.windows), gy.contiguous(memory_format=format_), gx, int(ctx.last)
        )
        return gx, None


class _Maximum(Function):
    """Saves, a byte an output, which of its window's values it is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, windows: Windows) -> Tensor:
        ctx.shape, ctx.last, ctx.windows = x.shape, channels_last(x), windows
        shape = (*x.shape[:2], *windows.sides(x.shape))
        y, taps = _empty(shape, ctx.last), _empty(shape, ctx.last, dtype=torch.uint8)
        call("maximum_pool", _numbers(x.shape, windows), x, y, taps, int(ctx.last))
        ctx.save_for_backward(taps)
        return y

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> Any:
        (taps,) = ctx.saved_tensors
        if _direct(gy):
            g, gx = gy.contiguous(memory_format=memory_format(ctx.last)), _empty(ctx.shape, ctx.last)
            call("maximum_unpool", _numbers(ctx.shape, ctx.windows), g, taps, gx, int(ctx.last))
            return gx, None
        kernel, stride, padding, ceil_mode, _ = ctx.windows
        row = torch.arange(taps.shape[2])[:, None] * stride[0] - padding[0] + taps.long() // kernel[1]
        column = torch.arange(taps.shape[3]) * stride[1] - padding[1] + taps.long() % kernel[1]
        fixed = (kernel, stride, padding, (1, 1), ceil_mode, row * ctx.shape[3] + column)
        return aten.max_pool2d_with_indices_backward(gy, _empty(ctx.shape, ctx.last), *fixed), None


class _Adaptive(Function):
    """PyTorch's own, but saves no tensor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: Any) -> Tensor:
        ctx.shape, ctx.last = x.shape, channels_last(x)
        return functional.adaptive_avg_pool2d(x, size)

    @staticmethod
    def backward(ctx: Any, gy: Tensor) -> Any:
        return aten._adaptive_avg_pool2d_backward(gy, _empty(ctx.shape, ctx.last)), None
