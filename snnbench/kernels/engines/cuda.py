"""The CUDA engine: kernels compiled by NVRTC and launched through CuPy, on PyTorch's stream and device.

No launch waits for the device or reads from it, so calls can be captured in a CUDA graph (after one call to compile).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnbench.kernels.cell import NoEngine
from snnbench.kernels.codegen.cuda import REGISTERS, CudaSource, cuda_source
from snnbench.kernels.codegen.passes import Variant
from snnbench.kernels.codegen.trace import Program
from snnbench.kernels.engines.base import FrameKernel, States
from snnbench.kernels.engines.signature import Signature

OPTIONS = ("-std=c++17", "--fmad=false")
BLOCK = 256
LANES = 1 << 18
"""Threads that a backward uses to add up gradients of coefficients: enough to fill a device, few to add up."""

Launch = Callable[[int, int, list[int], torch.device], None]


def cupy() -> Any:
    """CuPy, imported when it is first needed.

    Raises:
        NoEngine: it is not installed, or does not import.
    """
    try:
        import cupy as module
    except Exception as error:  # a broken CuPy raises more than ImportError
        hint = f"cupy-cuda{(torch.version.cuda or '12').split('.')[0]}x"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise NoEngine(f"CuPy does not import ({reason}); pip install {hint}") from error
    return module


def check() -> None:
    """Raises NoEngine if PyTorch has no CUDA device, or CuPy does not import or sees none."""
    if not torch.cuda.is_available():
        raise NoEngine("PyTorch sees no CUDA device")
    try:
        count = cupy().cuda.runtime.getDeviceCount()
    except NoEngine:
        raise
    except Exception as error:
        raise NoEngine(f"CuPy sees no CUDA device ({error}); its CUDA must fit the driver") from error
    if count != torch.cuda.device_count():
        raise NoEngine(f"CuPy sees {count} CUDA devices, PyTorch {torch.cuda.device_count()}")


def describe() -> str:
    """What the engine runs on, for the log."""
    return f"kernels compiled by NVRTC through CuPy {cupy().__version__}"


@functools.lru_cache(maxsize=1024)
def compiled(program: Program, variant: Variant, backward: bool, vec: int) -> Launch:
    """A kernel, to be launched with (grid, block, arguments, device)."""
    return load(cuda_source(program, variant, backward, vec))


def load(source: CudaSource) -> Launch:
    """Compile `source` with CuPy, for the current device; for others at their first launch."""
    module = cupy()
    try:
        kernel = module.RawModule(code=source.text, options=OPTIONS, backend="nvrtc").get_function(source.name)
        kernel.compile()
    except Exception as error:
        raise NoEngine(f"CuPy did not compile a kernel ({str(error).strip().splitlines()[:1]})") from error

    def launch(grid: int, block: int, arguments: list[int], device: torch.device) -> None:
        stream = _stream(torch.cuda.current_stream(device).cuda_stream, device.index)
        with module.cuda.Device(device.index), stream:
            kernel((grid,), (block,), tuple([np.int64(a) for a in arguments]))

    return launch


@functools.lru_cache(maxsize=256)
def _stream(pointer: int, device: int) -> Any:
    return cupy().cuda.ExternalStream(pointer, device)


class Kernel(FrameKernel):
    """A program for calls of one signature on a CUDA device."""

    def __init__(self, program: Program, signature: Signature) -> None:
        super().__init__(program, signature)
        place = self.layout
        self.period = place.channels * place.inner if place.channels > 1 else 1

    def prepare(self) -> None:
        if self.work:
            compiled(self.program, self.variant((False,) * len(self.channelled)), False, self.vec())

    def launch_forward(self, x: Tensor, first: States, c: tuple[Tensor, ...], s: Tensor, last: States) -> None:
        size = self.layout.size
        vec = self.vec(x, s)
        arguments = [*self.inputs(x, first, size), s.data_ptr(), size, *pointers(last), *self.coefficients(c)]
        run = compiled(self.program, self.variant((False,) * len(c)), False, vec)
        run(-(-size // (vec * BLOCK)), BLOCK, arguments, x.device)

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
        size = self.layout.size
        variant = self.variant(wanted)
        slots = variant.slots(self.program)
        vec = self.vec(x, gs, gx)
        lanes = self.lanes(vec) if slots else size
        partial = torch.empty((len(slots), lanes), dtype=torch.float32, device=x.device) if slots else None
        gs_stride = gs.stride(0) if gs.shape[0] > 1 else 0
        arguments = [*self.inputs(x, first, lanes), gs.data_ptr(), gs_stride, *pointers(g_last)]
        arguments += [0 if gx is None else gx.data_ptr(), size, *pointers(g_first), *pointers((partial,))]
        arguments += self.coefficients(c)
        run = compiled(self.program, variant, True, vec)
        run(-(-lanes // (vec * BLOCK)), BLOCK, arguments, x.device)
        return self.add_up(partial, c, wanted)

    def add_up(self, partial: Tensor | None, c: tuple[Tensor, ...], wanted: tuple[bool, ...]) -> list[Tensor | None]:
        """The threads' parts to gradients of the coefficients: one sum where all coefficients are alike."""
        found: list[Tensor | None] = []
        by_channel = whole = None
        slot = 0
        for value, want, channelled, per_step in zip(c, wanted, self.channelled, self.program.per_step, strict=True):
            if not want or partial is None:
                found.append(None)
                continue
            steps = self.layout.steps if per_step else 1
            if channelled:
                if by_channel is None:
                    split = (len(partial), -1, self.layout.channels, self.layout.inner)
                    by_channel = partial.view(split).sum((1, 3))
                sums = by_channel
            else:
                whole = partial.sum(1) if whole is None else whole
                sums = whole
            found.append(sums[slot : slot + steps].reshape(value.shape))
            slot += steps
        return found

    def lanes(self, vec: int) -> int:
        """Neurons at work at once: a multiple of the period, and of vec where there are enough."""
        periods = max(1, LANES * vec // self.period)
        periods -= periods % vec if periods > vec else 0
        return min(self.period * periods, self.layout.size)

    def vec(self, *tensors: Tensor | None) -> int:
        """Neurons to a thread: as many as registers and alignment allow, at most 4."""
        place, states = self.layout, max(1, len(self.program.states))
        strides = [place.size, place.time_stride, *(t.stride(0) for t in tensors if t is not None and t.dim())]
        item = self.signature.dtype.itemsize
        for vec in (4, 2):
            aligned = all(t.data_ptr() % (vec * item) == 0 for t in tensors if t is not None)
            fits = place.steps * states * vec <= REGISTERS
            if fits and aligned and all(s % vec == 0 for s in strides) and self.lanes(vec) % vec == 0:
                return vec
        return 1

    def inputs(self, x: Tensor, first: States, lanes: int) -> list[int]:
        place = self.layout
        time_stride = place.time_stride if place.dense else place.size
        return [place.size, lanes, place.inner, place.channels, x.data_ptr(), time_stride, *pointers(first)]

    def coefficients(self, c: tuple[Tensor, ...]) -> list[int]:
        given: list[int] = []
        for value, strides in zip(c, self.coefficient_strides, strict=True):
            given += (value.data_ptr(), *strides)
        return given


def pointers(tensors: States) -> list[int]:
    """Their addresses; 0 for None."""
    return [0 if tensor is None else tensor.data_ptr() for tensor in tensors]
