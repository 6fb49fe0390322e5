"""A batch norm's statistics and gradients over y [T, B, C, ...]: on a CPU in as few passes as there can be (norms.cpp).

A norm is a table of four rows, each [C], or [T, C] with the statistics of one timestep at a time:
scale = weight gain / std and shift = bias - mean scale, so that y scale + shift is the norm, then mean and 1 / std.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import itertools
import math
from pathlib import Path

import torch
from torch import Tensor

from snnbench.kernels.engines.cpu import threads
from snnbench.kernels.native import Native
from snnbench.kernels.plain import floats

_cpp = Native(Path(__file__).with_name("norms.cpp"))


@dataclasses.dataclass(frozen=True, slots=True)
class Norm:
    """A batch norm in one call.

    Attributes:
        weight, bias, running_mean, running_var: [C], float32.
        eps: added to the variance.
        momentum: weight of the newest statistics in the running ones.
        gain: a fixed factor beside the weight.
        per_step: whether each timestep has statistics of its own.
        repeats: how many equal frames each frame of y is counted as, in the factor n / (n - 1) of the running variance.
        training: whether the statistics are those of y, which also enter the running ones; else the running ones.
        tracked: the number of updates of the running statistics so far, int64.
        updates: by how many it grows for each part: each timestep with statistics of its own.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    eps: float
    momentum: float
    gain: float
    per_step: bool
    repeats: int
    training: bool
    tracked: Tensor
    updates: int


class Place:
    """How a call's y lies in memory, and what of a norm depends on it alone.

    Args:
        y: [T, B, C, ...], dense, its frames contiguous or channels last.
        norm: the norm.
    """

    def __init__(self, y: Tensor, norm: Norm) -> None:
        steps, batch, self.channels = y.shape[:3]
        self.strides = y.stride()
        self.pixels = math.prod(y.shape[3:])
        self.parts = steps if norm.per_step and norm.training else 1
        self.frames = steps * batch
        self.values = self.frames * self.pixels // self.parts
        """Of a channel, in one part."""
        self.last = (self.pixels > 1 and y.stride(2) == 1 and self.channels > 1) or self.pixels == 1
        numbers = (self.frames, self.channels, self.pixels, self.parts, int(self.last), threads(y.numel()))
        self.shape = (ctypes.c_long * len(numbers))(*numbers)

    @property
    def size(self) -> tuple[int, ...]:
        """Of a row of the table."""
        return (self.parts, self.channels) if self.parts > 1 else (self.channels,)

    def laid(self, value: Tensor) -> Tensor:
        """`value`, shaped like y, in y's layout: itself, or a copy."""
        if value.stride() == self.strides or value.layout is not torch.strided:
            return value
        return torch.empty_strided(value.shape, self.strides, dtype=value.dtype, device=value.device).copy_(value)


def fits(y: Tensor) -> bool:
    """Whether y [T, B, C, ...] lies in memory as the functions here walk through it."""
    if y.is_contiguous():
        return True
    return y.dim() == 5 and y.movedim(2, -1).is_contiguous()


def native(y: Tensor) -> bool:
    """Whether norms.cpp does the work for y; else PyTorch's operations do."""
    return y.is_cpu


def available() -> bool:
    """Whether the functions here can be had: there is a compiler."""
    return _cpp.library is not None


def table(norm: Norm, y: Tensor, place: Place) -> Tensor:
    """The norm's table [4, C] or [4, T, C] for y; in training, the running statistics move on."""
    if not native(y):
        return _table(norm, y, place)
    found = floats(4, *place.size)
    numbers = (ctypes.c_double * 4)(norm.eps, norm.momentum, norm.gain, place.values * norm.repeats)
    parameters = (norm.weight, norm.bias, norm.running_mean, norm.running_var, numbers, found)
    if norm.training:
        _cpp.call("statistics", place.shape, y, *parameters)
        norm.tracked.add_(norm.updates * place.parts)
    else:
        _cpp.call("settle", place.shape, *parameters)
    return found


def normalize(y: Tensor, found: Tensor, place: Place) -> Tensor:
    """y scale + shift."""
    z = torch.empty_like(y)
    _cpp.call("normalize", place.shape, y, z, found)
    return z


def gather(y: Tensor, gz: Tensor, found: Tensor, place: Place) -> tuple[Tensor, Tensor]:
    """The sums of gz and of gz (y - mean) over the values of each channel."""
    sums, moments = floats(*place.size), floats(*place.size)
    _cpp.call("gather", place.shape, y, gz, found, sums, moments)
    return sums, moments


def differentiate(
    norm: Norm, y: Tensor, gz: Tensor, gy: Tensor | None, found: Tensor, sums: tuple[Tensor, Tensor], place: Place
) -> tuple[Tensor | None, Tensor, Tensor]:
    """The gradients of y, weight and bias. Where `gy` is given, that of y is wanted, and may be written into it.

    gy may be gz or y.
    gy = scale (gz - (sum gz + (y - mean) sum(gz (y - mean)) / std^2) / n), without the latter where the statistics are
    the running ones; sums are over the n values of a channel (Ioffe and Szegedy 2015, section 3).
    """
    if not native(y):
        return _differentiate(norm, y, gz, gy, found, sums, place)
    weight, bias = floats(place.channels), floats(place.channels)
    options = (float(norm.gain), int(norm.training))
    _cpp.call("differentiate", place.shape, y, gz, gy, found, *sums, *options, weight, bias)
    return gy, weight, bias


def _table(norm: Norm, y: Tensor, place: Place) -> Tensor:
    """As `table`, in PyTorch's operations; nothing waits for the device."""
    if norm.training:
        mean, var = _moments(y, norm.eps, place)
        counted = place.values * norm.repeats
        weights = _weights(place.parts, norm.momentum, y.device)
        for running, new in ((norm.running_mean, mean), (norm.running_var, var * (counted / (counted - 1)))):
            running.mul_((1 - norm.momentum) ** place.parts).add_(weights @ new)
        norm.tracked.add_(norm.updates * place.parts)
    else:
        mean, var = norm.running_mean, norm.running_var
    invstd = (var + norm.eps).rsqrt()
    scale = norm.weight * norm.gain * invstd
    rows = (scale, torch.addcmul(norm.bias, mean, scale, value=-1), mean, invstd)
    return torch.stack([row.reshape(place.size) for row in rows])


def _moments(y: Tensor, eps: float, place: Place) -> tuple[Tensor, Tensor]:
    """Mean and variance [parts, C]: on a GPU by the kernel of PyTorch's own batch norm."""
    split = y.view(place.parts, -1, *y.shape[2:])
    if by_batch_norm(y):
        mean, invstd = map(torch.stack, zip(*[torch.batch_norm_stats(part, eps) for part in split], strict=True))
        return mean, (invstd.square().reciprocal() - eps).clamp(min=0)
    var, mean = torch.var_mean(split, [1, *range(3, split.dim())], correction=0)
    return mean, var


def by_batch_norm(y: Tensor) -> bool:
    """Whether PyTorch has the parts of its batch norm for y, one by one."""
    return y.is_cuda


@functools.lru_cache(maxsize=256)
def _count(values: int, device: torch.device) -> Tensor:
    return torch.tensor([values], dtype=torch.int32, device=device)


@functools.lru_cache(maxsize=256)
def _weights(parts: int, momentum: float, device: torch.device) -> Tensor:
    """What the statistics of each part count for in the running ones, which take them in one after the other."""
    return torch.tensor([momentum * (1 - momentum) ** (parts - 1 - i) for i in range(parts)], device=device)


def _differentiate(
    norm: Norm, y: Tensor, gz: Tensor, gy: Tensor | None, found: Tensor, sums: tuple[Tensor, Tensor], place: Place
) -> tuple[Tensor | None, Tensor, Tensor]:
    """As `differentiate`, in PyTorch's operations."""
    scale, _, mean, invstd = found.view(4, place.parts, -1)
    total, moment = (value.view(place.parts, -1) for value in sums)
    shape = (place.parts, 1, place.channels, *[1] * (y.dim() - 3))
    if gy is not None:
        ys, gzs, gys = (value.view(place.parts, -1, *y.shape[2:]) for value in (y, gz, gy))
        if not norm.training:
            torch.mul(gzs, scale.view(shape), out=gys)
        elif by_batch_norm(y):
            count, weight = _count(place.values, y.device), norm.weight * norm.gain
            parts = zip(gzs, ys, mean, invstd, itertools.repeat(weight), total, moment, itertools.repeat(count))
            done = [torch.batch_norm_backward_elemt(*part) for part in parts]
            gy = (done[0] if place.parts == 1 else torch.cat(done)).view(y.shape)
        else:
            over = scale / -place.values
            p, q = over * invstd.square() * moment, over * total
            own = torch.addcmul((q - mean * p).view(shape), ys, p.view(shape))
            torch.addcmul(own, gzs, scale.view(shape), out=gys)
    return gy, norm.gain * (invstd * moment).sum(0), total.sum(0)
