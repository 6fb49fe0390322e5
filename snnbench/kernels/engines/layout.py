"""Where the neurons of a tensor [T, B, C, ...] lie in memory, as far as a kernel must know.

An element-wise kernel needs no layout but the channel of each neuron. In a frame x[t] whose memory has neither gaps
nor overlaps, be it contiguous or channels_last, the neuron at offset i has channel (i // inner) % channels, where
inner is the stride of the channel dimension.
"""

from __future__ import annotations

import dataclasses
import functools
import math


@dataclasses.dataclass(frozen=True)
class Layout:
    """Attributes:
    steps: T.
    size: neurons in a frame.
    channels: of the per-channel coefficients; 1 without such.
    inner: neurons beside each other that share a channel.
    dense: whether the frames have neither gaps nor overlaps. If not, the engine copies the tensor.
    time_stride: from a frame to the next, in elements; 0 for an input that is constant over time.
    strides: of a tensor with x's frames one after the other, as outputs have them.
    """

    steps: int
    size: int
    channels: int
    inner: int
    dense: bool
    time_stride: int
    strides: tuple[int, ...]

    @property
    def static(self) -> bool:
        return self.time_stride == 0


@functools.lru_cache(maxsize=4096)
def layout(shape: tuple[int, ...], strides: tuple[int, ...], per_channel: bool) -> Layout:
    """The layout of a tensor with this shape and these strides."""
    size, dense = math.prod(shape[1:]), is_dense(shape[1:], strides[1:])
    frame = strides[1:] if dense else contiguous(shape[1:])
    channels = shape[2] if per_channel and len(shape) > 2 else 1
    inner = frame[1] if channels > 1 else max(size, 1)
    time_stride = size
    if dense and shape[0] > 1:
        time_stride = strides[0]
    return Layout(shape[0], size, channels, inner, dense, time_stride, (size, *frame))


@functools.lru_cache(maxsize=4096)
def is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether the elements fill a block of memory, in any order of dimensions."""
    expected = 1
    for stride, length in sorted((s, n) for s, n in zip(strides, shape, strict=True) if n != 1):
        if stride != expected:
            return 0 in shape
        expected *= length
    return True


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a contiguous tensor of this shape."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


@functools.lru_cache(maxsize=4096)
def same_frames(shape: tuple[int, ...], strides: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Whether a frame with these strides lies as expected; a dimension of one element lies anywhere."""
    return 0 in shape or all(n == 1 or s == e for n, s, e in zip(shape, strides, expected, strict=True))
