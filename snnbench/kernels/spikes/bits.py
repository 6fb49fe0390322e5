"""A tensor of spikes as one bit an element."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from snnbench.kernels.engines.cpu import threads
from snnbench.kernels.plain import floats
from snnbench.kernels.spikes.library import call

WORD = 64


@dataclasses.dataclass(frozen=True)
class Bits:
    """Spikes [N, C, H, W], packed along the channels.

    Attributes:
        words: int64 [N, H, W, ceil(C / 64)]; bit c % 64 of word c // 64 is channel c.
        shape: N, C, H, W.
        last: whether the channels lay last in memory, and do so again when unpacked.
        ones: how many are set.
    """

    words: Tensor
    shape: torch.Size
    last: bool
    ones: int

    @property
    def density(self) -> float:
        """The share of ones."""
        return self.ones / self.shape.numel()

    def unpack(self) -> Tensor:
        """The spikes as float32, as they lay in memory."""
        x = floats(*self.shape, last=self.last)
        n, c, h, w = self.shape
        call("unpack", self.words, x, n, c, h * w, int(self.last), threads(x.numel()))
        return x


def pack(x: Tensor) -> Bits | None:
    """The bits of x, float32 [N, C, H, W] on the CPU; None where a value is neither 0 nor 1, or x is not dense."""
    last = channels_last(x)
    if not (last or x.is_contiguous()) or not x.numel():
        return None
    n, c, h, w = x.shape
    words = torch.empty((n, h, w, -(-c // WORD)), dtype=torch.int64, device="cpu")
    ones = call("pack", x, words, n, c, h * w, int(last), threads(x.numel()))
    return None if ones < 0 else Bits(words, x.shape, last, ones)


def channels_last(x: Tensor) -> bool:
    """Whether the channels of [N, C, H, W] lie last in memory; where both ways are true, they do not."""
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def memory_format(last: bool) -> torch.memory_format:
    return torch.channels_last if last else torch.contiguous_format
