"""The numbers of a convolution, as spikes.cpp takes them."""

from __future__ import annotations

import ctypes

from torch import Size, Tensor

from snnbench.kernels.engines.cpu import threads

FIELDS = "n height width channels outputs kernel stride padding rows columns threads last ones"
"""Those of spikes.cpp's Shape."""


class Shape:
    """Of the convolution of x [N, C, H, W] with a weight [O, C, K, K].

    Args:
        x, weight: their shapes.
        stride, padding: of both directions.
        last: whether channels lie last in memory.
        ones: how many values of x are 1, where it is spikes.
    """

    def __init__(self, x: Size, weight: Size, stride: int, padding: int, last: bool, ones: int = 0) -> None:
        self.n, self.channels, self.height, self.width = x
        self.outputs, _, self.kernel, _ = weight
        self.stride, self.padding, self.last, self.ones = stride, padding, int(last), ones
        self.rows, self.columns = ((side + 2 * padding - self.kernel) // stride + 1 for side in x[2:])
        self.threads = threads(self.n * self.rows * self.columns * self.outputs)

    @property
    def output(self) -> tuple[int, int, int, int]:
        """N, O, H', W'."""
        return self.n, self.outputs, self.rows, self.columns

    def array(self) -> ctypes.Array[ctypes.c_long]:
        values = [int(getattr(self, name)) for name in FIELDS.split()]
        return (ctypes.c_long * len(values))(*values)


def plain_memory(value: Tensor | None) -> Tensor | None:
    """A weight or a bias in the order of its dimensions."""
    return None if value is None else value.contiguous()
