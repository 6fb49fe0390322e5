"""The CPU engine: kernels compiled by the host's C++ compiler, called through ctypes."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from snnbench.kernels import build
from snnbench.kernels.call import IO, Gradients, Signature, frame, frames
from snnbench.kernels.cpu_source import cpu_source
from snnbench.kernels.trace import Program
from snnbench.kernels.variant import Variant

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


class Kernel:
    """A program for calls of one signature on the CPU; see snnbench.kernels.call.Kernel."""

    def __init__(self, program: Program, signature: Signature) -> None:
        self.program, self.signature = program, signature
        place = self.layout = signature.layout(program)
        self.period = place.channels > 1 and place.inner < SHORT
        self.rows, self.length = 1, place.size
        self.repeat = 1
        if place.channels > 1:
            self.length = place.inner
        if self.period:
            pattern = place.channels * place.inner
            self.repeat = max(1, min(PERIOD // pattern, place.size // max(pattern, 1)))
            self.length = pattern * self.repeat
        self.rows = -(-place.size // self.length) if self.length else 0
        self.channelled = signature.channelled(program)
        self.work = place.size * place.steps
        past = self.work * signature.dtype.itemsize > last_level_cache() and not signature.static
        self.header = (self.rows, self.length, place.size, place.channels, place.inner, int(past))
        self.run_forward: Callable[[object], None] | None = None
        self.run_backward: dict[tuple[bool, ...], Callable[[object], None]] = {}
        self.uniform = [i for i, c in enumerate(self.channelled) if not (c and self.period)]
        self.along = [i for i, c in enumerate(self.channelled) if c and self.period]
        shapes = zip(signature.coefficients, program.per_step, strict=True)
        self.steps_of = [
            ((shape[-1] if len(shape) > 1 else 1) if per_step else 0, 1 if channelled else 0)
            for (shape, per_step), channelled in zip(shapes, self.channelled, strict=True)
        ]

    def prepare(self) -> None:
        """Compile the forward kernel, if the cache has it not. Raises NoEngine where that fails."""
        if self.run_forward is None:
            self.run_forward = compiled(self.program, self.variant((False,) * len(self.channelled)), False)

    def variant(self, wanted: tuple[bool, ...]) -> Variant:
        s = self.signature
        return Variant(self.layout.steps, IO[s.dtype], s.static, self.channelled, wanted, self.period)

    def forward(
        self, x: Tensor, states: tuple[Tensor | None, ...], coefficients: tuple[Tensor, ...], last: bool
    ) -> tuple[Tensor, list[Tensor]]:
        strides = self.layout.strides
        s = torch.empty_strided(self.signature.shape, strides, dtype=x.dtype)
        finals: Sequence[Tensor | None] = (None,) * len(states)
        if last:
            finals = [torch.empty_strided(self.signature.shape[1:], strides[1:]) for _ in states]
        if self.work:
            self.prepare()
            given, keep = self.inputs(x, states, coefficients)
            outputs = [s.data_ptr(), self.layout.size, *pointers(finals)]
            assert self.run_forward is not None
            self.launch(self.run_forward, [*given, *outputs, *self.uniforms(coefficients)])
            del keep
        return s, [f for f in finals if f is not None]

    def backward(
        self,
        x: Tensor,
        states: tuple[Tensor | None, ...],
        coefficients: tuple[Tensor, ...],
        gs: Tensor | None,
        g_last: tuple[Tensor | None, ...],
        wanted: tuple[bool, ...],
    ) -> Gradients:
        shape, strides, n = self.signature.shape, self.layout.strides, len(states)
        static = self.signature.static
        gx = None
        if wanted[0]:
            size, steps = (shape[1:], strides[1:]) if static else (shape, strides)
            gx = torch.empty_strided(size, steps, dtype=x.dtype)
        first = [torch.empty_strided(shape[1:], strides[1:]) if want else None for want in wanted[1 : n + 1]]
        want = wanted[n + 1 :]
        sums = [torch.zeros(c.shape) if w else None for c, w in zip(coefficients, want, strict=True)]
        if self.work:
            if want not in self.run_backward:
                self.run_backward[want] = compiled(self.program, self.variant(want), True)
            gs = torch.zeros(shape[1:], dtype=x.dtype).expand(shape) if gs is None else gs
            gs = frames(gs, strides)
            g_last = tuple(frame(g, strides) for g in g_last)
            given, keep = self.inputs(x, states, coefficients)
            given += [gs.data_ptr(), gs.stride(0) if shape[0] > 1 else 0, *pointers(g_last)]
            given += [0 if gx is None else gx.data_ptr(), 0 if static else self.layout.size, *pointers(first)]
            given += self.uniforms(coefficients)
            for g, (over_time, over_channels) in zip(sums, self.steps_of, strict=True):
                if g is not None:
                    given += (g.data_ptr(), over_time, over_channels)
            self.launch(self.run_backward[want], given)
            del keep
        return Gradients(gx, first, sums)

    def inputs(
        self, x: Tensor, states: tuple[Tensor | None, ...], coefficients: tuple[Tensor, ...]
    ) -> tuple[list[int], list[Tensor | None]]:
        """The streams that both kernels read, and the tensors that must live until they have."""
        place = self.layout
        keep: list[Tensor | None] = []
        if not place.dense:
            x = frames(x, place.strides)
            keep.append(x)
        given = [x.data_ptr(), place.time_stride]
        for state in states:
            keep.append(frame(state, place.strides))
            given += pointers(keep[-1:])
        for i in self.along:
            c = coefficients[i].repeat_interleave(place.inner, -1) if place.inner > 1 else coefficients[i]
            c = c.repeat(*[1] * (c.dim() - 1), self.repeat).contiguous()
            keep.append(c)
            given += (c.data_ptr(), self.length)
        return given, keep

    def uniforms(self, coefficients: tuple[Tensor, ...]) -> list[int]:
        given: list[int] = []
        for i in self.uniform:
            given += (coefficients[i].data_ptr(), *self.steps_of[i])
        return given

    def launch(self, run: Callable[[object], None], given: list[int]) -> None:
        threads = 1 if self.work <= SERIAL else torch.get_num_threads()
        *header, past = self.header
        run((ctypes.c_int64 * (len(given) + 7))(*header, threads, past, *given))


def pointers(tensors: Iterable[Tensor | None]) -> list[int]:
    """Pointer and stride over time (0) of each; a null pointer for None."""
    given: list[int] = []
    for tensor in tensors:
        given += (0 if tensor is None else tensor.data_ptr(), 0)
    return given
