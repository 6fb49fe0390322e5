"""The CPU engine: kernels compiled by the host's C++ compiler, called through ctypes."""

from __future__ import annotations

import ctypes
import functools
import os
import struct
from collections.abc import Callable

import torch
from torch import Tensor

from snnbench.kernels.codegen.cpu import cpu_source
from snnbench.kernels.codegen.passes import Variant
from snnbench.kernels.codegen.trace import Program
from snnbench.kernels.engines import build
from snnbench.kernels.engines.base import FrameKernel, States
from snnbench.kernels.engines.signature import Signature

SERIAL = 1 << 15
"""Up to so many neurons x timesteps, one thread is faster than waking others."""
SHORT = 64
"""Runs of neurons of one channel below this are handled as a period of the channel pattern."""
PERIOD = 1024
"""Such periods are repeated until they are about so long."""


def check() -> None:
    """Raises NoEngine if there is no compiler or no cache folder."""
    build.compiler()
    build.cache_dir()


def describe() -> str:
    """What the engine runs on, for the log."""
    path, version = build.compiler()
    return f"kernels compiled by {path} ({version})"


@functools.lru_cache(maxsize=1024)
def compiled(program: Program, variant: Variant, backward: bool) -> Callable[[object], None]:
    """The kernel as a function of an array of int64."""
    run = build.build(cpu_source(program, variant, backward)).run
    run.argtypes, run.restype = [ctypes.c_void_p], None
    function: Callable[[object], None] = run
    return function


@functools.cache
def last_level_cache() -> int:
    """Bytes; results that it cannot hold are written past it."""
    try:
        return os.sysconf("SC_LEVEL3_CACHE_SIZE") or 1 << 25
    except (ValueError, OSError):
        return 1 << 25


class Kernel(FrameKernel):
    """A program for calls of one signature on the CPU."""

    def __init__(self, program: Program, signature: Signature) -> None:
        super().__init__(program, signature)
        place = self.layout
        self.period = place.channels > 1 and place.inner < SHORT
        length = place.inner if place.channels > 1 else place.size
        if self.period:
            pattern = place.channels * place.inner
            length = pattern * max(1, min(PERIOD // pattern, place.size // max(pattern, 1)))
        past = self.work * signature.dtype.itemsize > last_level_cache() and not signature.static
        rows = -(-place.size // length) if length else 0
        self.header = (rows, length, place.size, place.channels, place.inner)
        self.past = int(past)
        self.uniform = [i for i, c in enumerate(self.channelled) if not (c and self.period)]
        self.along = [i for i, c in enumerate(self.channelled) if c and self.period]
        self.run_forward: Callable[[object], None] | None = None
        self.run_backward: dict[tuple[bool, ...], Callable[[object], None]] = {}

    def prepare(self) -> None:
        if self.run_forward is None:
            variant = self.variant((False,) * len(self.channelled), self.period)
            self.run_forward = compiled(self.program, variant, False)

    def launch_forward(self, x: Tensor, first: States, c: tuple[Tensor, ...], s: Tensor, last: States) -> None:
        self.prepare()
        assert self.run_forward is not None
        given = self.inputs(x, first, c)
        given += (s.data_ptr(), self.layout.size)
        self.launch(self.run_forward, [*given, *pointers(last), *self.uniforms(c)])

    def launch_backward(
        self,
        x: Tensor,
        first: States,
        c: tuple[Tensor, ...],
        gs: Tensor,
        g_last: States,
        gx: Tensor | None,
        g_first: States,
        wanted: tuple[bool, ...],
    ) -> list[Tensor | None]:
        if wanted not in self.run_backward:
            self.run_backward[wanted] = compiled(self.program, self.variant(wanted, self.period), True)
        sums = [torch.empty_like(value) if want else None for value, want in zip(c, wanted, strict=True)]
        given = self.inputs(x, first, c)
        given += (gs.data_ptr(), gs.stride(0) if gs.shape[0] > 1 else 0, *pointers(g_last))
        given += (0 if gx is None else gx.data_ptr(), 0 if self.signature.static else self.layout.size)
        given += pointers(g_first)
        given += self.uniforms(c)
        for total, strides in zip(sums, self.coefficient_strides, strict=True):
            if total is not None:
                given += (total.data_ptr(), *strides)
        self.launch(self.run_backward[wanted], given)
        return list(sums)

    def inputs(self, x: Tensor, first: States, c: tuple[Tensor, ...]) -> list[int]:
        """The streams that both kernels read."""
        given = [x.data_ptr(), self.layout.time_stride if self.layout.dense else self.layout.size, *pointers(first)]
        for i in self.along:
            given += (c[i].data_ptr(), self.coefficient_strides[i][0])
        return given

    def uniforms(self, c: tuple[Tensor, ...]) -> list[int]:
        given: list[int] = []
        for i in self.uniform:
            given += (c[i].data_ptr(), *self.coefficient_strides[i])
        return given

    def launch(self, run: Callable[[object], None], given: list[int]) -> None:
        threads = 1 if self.work <= SERIAL else torch.get_num_threads()
        run(packer(len(given) + 7)(*self.header, threads, self.past, *given))


@functools.cache
def packer(count: int) -> Callable[..., bytes]:
    """So many integers as an array of int64. It is faster than making one of ctypes'."""
    return struct.Struct(f"{count}q").pack


def pointers(tensors: States) -> list[int]:
    """Pointer and stride over time (0) of each; a null pointer for None."""
    given: list[int] = []
    for tensor in tensors:
        given += (0 if tensor is None else tensor.data_ptr(), 0)
    return given
