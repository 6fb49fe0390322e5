"""The CPU engine: kernels compiled by the host's C++ compiler, called through ctypes."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import itertools
import os
import struct
from collections.abc import Callable

import torch
from torch import Tensor

from snnbench.kernels.cell import NoEngine
from snnbench.kernels.codegen.cpu import cpu_source
from snnbench.kernels.codegen.passes import Variant
from snnbench.kernels.codegen.program import Program
from snnbench.kernels.codegen.source import KernelSource
from snnbench.kernels.engines import build
from snnbench.kernels.engines.arguments import Values
from snnbench.kernels.engines.base import FrameKernel, Wanted, inputs, strides_of
from snnbench.kernels.engines.cache import cache_dir
from snnbench.kernels.engines.contract import States
from snnbench.kernels.engines.signature import Signature

SERIAL = 1 << 15
"""Up to so many neurons x timesteps, one thread is faster than waking others."""
SHORT = 64
"""Runs of neurons of one channel below this are handled as a period of the channel pattern."""
PERIOD = 1024
"""Such periods are repeated until they are about so long."""


class CpuEngine:
    """C++ for vectors of neurons; needs a compiler, and a cache folder for what it makes."""

    name = device = "cpu"

    def check(self) -> None:
        build.compiler()
        cache_dir()

    def describe(self) -> str:
        path, version = build.compiler()
        return f"kernels compiled by {path} ({version})"

    def kernel(self, program: Program, signature: Signature) -> CpuKernel:
        return CpuKernel(program, signature)


SPECIAL = 32
"""Up to so many timesteps a kernel of their number is a little faster than one for any number."""
LONGEST = 1 << 22
"""So many timesteps take some GB for a block of neurons; more are refused rather than asked for."""
_first: dict[tuple[Program, Variant, bool], int] = {}

Run = Callable[[object], None]
"""Takes an array of int64."""
Pack = Callable[..., bytes]
"""Makes one of integers."""


@functools.lru_cache(maxsize=1024)
def compiled(program: Program, variant: Variant, backward: bool) -> tuple[Run, tuple[str, ...]]:
    """A kernel, and the names of what its array holds."""
    source = cpu_source(program, variant, backward)
    run = build.build(source.text).run
    run.argtypes, run.restype = [ctypes.c_void_p], None
    return run, source.parameters


def any_steps(variant: Variant) -> Variant:
    return dataclasses.replace(variant, steps=0)


def chosen(program: Program, variant: Variant, backward: bool) -> Variant:
    """The variant to compile for `variant`: itself, or one for any T, which has the same bits.

    A program's first T gets a kernel of its own, and each whose kernel is in the cache; others share one, since to
    compile for each would take seconds. A process that meets one T is served best, one that meets many at once.
    """
    if not variant.steps:
        return variant
    if len(_first) > 4096:
        _first.clear()
    first = _first.setdefault((program, any_steps(variant), backward), variant.steps)
    if first == variant.steps or build.cached(cpu_source(program, variant, backward).text):
        return variant
    return any_steps(variant)


@functools.cache
def last_level_cache() -> int:
    """Bytes; results that it cannot hold are written past it."""
    try:
        return os.sysconf("SC_LEVEL3_CACHE_SIZE") or 1 << 25
    except (ValueError, OSError):
        return 1 << 25


def threads(work: int) -> int:
    """For so many numbers."""
    return 1 if work <= SERIAL else torch.get_num_threads()


class CpuKernel(FrameKernel):
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
        self.call = {"rows": rows, "length": length, "total": place.size, "channels": place.channels}
        self.call |= {"inner": place.inner, "past": int(past)}
        self.along = [i for i, c in enumerate(self.channelled) if c and self.period]
        self.kernels: dict[Wanted, tuple[Run, Values, Pack]] = {}

    def prepare(self, device: torch.device, wanted: Wanted = None) -> None:
        self.load(None)

    def source(self, wanted: Wanted) -> KernelSource:
        return cpu_source(self.program, self.variant(wanted, self.period), wanted is not None)

    def variant(self, wanted: Wanted, period: bool = False) -> Variant:
        own = super().variant(wanted, period)
        return own if own.steps <= SPECIAL else any_steps(own)

    def load(self, wanted: Wanted) -> tuple[Run, Values, Pack]:
        if self.layout.steps > LONGEST:
            raise NoEngine(f"T={self.layout.steps} is more than a kernel can keep")
        variant = chosen(self.program, self.variant(wanted, self.period), wanted is not None)
        run, parameters = compiled(self.program, variant, wanted is not None)
        gradients = {} if wanted is None else {"gcp": sum(wanted)}
        settled = self.settled(wanted) | ({} if variant.steps else {"steps": self.layout.steps})
        values = self.values(parameters, wanted, settled, numbers=["threads"], groups=gradients)
        pack = struct.Struct(f"{len(parameters)}q").pack  # faster than making one of ctypes' arrays
        self.kernels[wanted] = run, values, pack
        return self.kernels[wanted]

    def settled(self, wanted: Wanted) -> dict[str, int]:
        states = ("first", "last") if wanted is None else ("first", "glast", "gfirst")
        numbers = self.call | super().settled(wanted)
        numbers |= {f"{name}{i}_t": 0 for name in states for i in range(len(self.program.states))}
        for i in self.along:
            del numbers[f"cp{i}_c"]
        return numbers | strides_of("gcp", [*itertools.compress(self.coefficient_strides, wanted or ())])

    def launch_forward(
        self, x: Tensor, r: Tensor | None, first: States, c: tuple[Tensor, ...], s: Tensor, last: States
    ) -> None:
        run, values, pack = self.kernels.get(None) or self.load(None)
        run(pack(*values(threads=threads(self.work), **inputs(x, r), sp=s, first=first, last=last, cp=c)))

    def launch_backward(
        self,
        x: Tensor,
        r: Tensor | None,
        first: States,
        c: tuple[Tensor, ...],
        gs: Tensor,
        g_last: States,
        gx: Tensor | None,
        g_first: States,
        wanted: tuple[bool, ...],
    ) -> list[Tensor | None]:
        run, values, pack = self.kernels.get(wanted) or self.load(wanted)
        sums = [torch.empty_like(value) if want else None for value, want in zip(c, wanted, strict=True)]
        gc = [value for value in sums if value is not None]
        gs_t = gs.stride(0) if gs.shape[0] > 1 else 0
        states = {"first": first, "glast": g_last, "gfirst": g_first}
        given = inputs(x, r) | {"gsp": gs, "gsp_t": gs_t, "gxp": gx, "cp": c, "gcp": gc}
        run(pack(*values(threads=threads(self.work), **given, **states)))
        return sums
