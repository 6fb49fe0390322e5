"""The CUDA engine: kernels compiled by NVRTC and launched through CuPy, on PyTorch's stream and device.

No launch waits for the device or reads from it, so calls can be captured in a CUDA graph (after one call to compile).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snnbench.kernels.cell import NoEngine
from snnbench.kernels.codegen.cuda import REGISTERS, cuda_source, kept_bytes
from snnbench.kernels.codegen.passes import Variant
from snnbench.kernels.codegen.source import KernelSource
from snnbench.kernels.codegen.trace import Program
from snnbench.kernels.engines.arguments import Values
from snnbench.kernels.engines.base import FrameKernel, Wanted, inputs
from snnbench.kernels.engines.contract import States
from snnbench.kernels.engines.signature import Signature

OPTIONS = ("-std=c++17", "--fmad=false")
BLOCK = 256
LANES = 1 << 18
"""Threads that a backward uses to add up gradients of coefficients: enough to fill a device, few to add up."""

MOST = 1 << 31
"""Neurons of a frame must be fewer, so that a thread finds its channel in 32 bits."""
LOCAL = 1 << 14
"""Bytes of local memory that a thread may ask for; the device sets them aside for all threads that it can hold."""

Launch = Callable[[int, int, Sequence[int], torch.device], None]


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


class CudaEngine:
    """One thread for a few neurons; needs a device that both PyTorch and CuPy see."""

    name = device = "cuda"

    def check(self) -> None:
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

    def describe(self) -> str:
        return f"kernels compiled by NVRTC through CuPy {cupy().__version__}"

    def kernel(self, program: Program, signature: Signature) -> CudaKernel:
        return CudaKernel(program, signature)


@functools.lru_cache(maxsize=1024)
def compiled(program: Program, variant: Variant, backward: bool, vec: int) -> tuple[Launch, tuple[str, ...]]:
    """A kernel, to be launched with (grid, block, arguments, device), and its parameters' names."""
    source = cuda_source(program, variant, backward, vec)
    return load(source), source.parameters


def load(source: KernelSource) -> Launch:
    """Compile `source` with CuPy, for the current device; for others at their first launch."""
    module = cupy()
    try:
        kernel = module.RawModule(code=source.text, options=OPTIONS, backend="nvrtc").get_function(source.name)
        kernel.compile()
    except Exception as error:
        raise NoEngine(f"CuPy did not compile a kernel ({str(error).strip().splitlines()[:1]})") from error

    def launch(grid: int, block: int, arguments: Sequence[int], device: torch.device) -> None:
        stream = _stream(torch.cuda.current_stream(device).cuda_stream, device.index)
        try:
            with module.cuda.Device(device.index), stream:
                kernel((grid,), (block,), tuple([np.int64(a) for a in arguments]))
        except module.cuda.driver.CUDADriverError as error:
            raise NoEngine(f"the device does not start the kernel ({error})") from error

    return launch


@functools.lru_cache(maxsize=256)
def _stream(pointer: int, device: int) -> Any:
    return cupy().cuda.ExternalStream(pointer, device)


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A kernel to launch; the neurons at work at once, and the sums that it makes for each of them."""

    launch: Launch
    values: Values
    lanes: int
    slots: int


class CudaKernel(FrameKernel):
    """A program for calls of one signature on a CUDA device."""

    def __init__(self, program: Program, signature: Signature) -> None:
        super().__init__(program, signature)
        place = self.layout
        self.period = place.channels * place.inner if place.channels > 1 else 1
        self.kernels: dict[tuple[Wanted, int], Loaded] = {}

    def prepare(self) -> None:
        if self.work:
            self.load(None, self.vec(None))

    def source(self, wanted: Wanted) -> KernelSource:
        return cuda_source(self.program, self.variant(wanted), wanted is not None, self.vec(wanted))

    def load(self, wanted: Wanted, vec: int) -> Loaded:
        found = self.kernels.get((wanted, vec))
        if found is None:
            variant, place = self.variant(wanted), self.layout
            if place.size >= MOST:
                raise NoEngine(f"a frame has {place.size:,} neurons, more than a CUDA kernel numbers")
            if wanted is not None and kept_bytes(self.program, variant, vec) > LOCAL:
                raise NoEngine(f"T={variant.steps} is more than a thread of a CUDA device can keep")
            launch, parameters = compiled(self.program, variant, wanted is not None, vec)
            slots = len(variant.slots(self.program))
            lanes = self.lanes(vec) if slots else place.size
            sizes = {"size": place.size, "lanes": lanes, "inner": place.inner, "channels": place.channels}
            parts = [] if wanted is None else ["partial"]
            settled = sizes | {name: value for name, value in self.settled(wanted).items() if not name.endswith("_c")}
            values = self.values(parameters, wanted, settled, tensors=parts)
            found = self.kernels[wanted, vec] = Loaded(launch, values, lanes, slots)
        return found

    def launch_forward(
        self, x: Tensor, r: Tensor | None, first: States, c: tuple[Tensor, ...], s: Tensor, last: States
    ) -> None:
        vec = self.vec(None, x, r, s)
        kernel = self.load(None, vec)
        values = kernel.values(**inputs(x, r), sp=s, first=first, last=last, cp=c)
        kernel.launch(-(-kernel.lanes // (vec * BLOCK)), BLOCK, values, x.device)

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
        vec = self.vec(wanted, x, r, gs, gx)
        kernel = self.load(wanted, vec)
        shape = (kernel.slots, kernel.lanes)
        partial = torch.empty(shape, dtype=torch.float32, device=x.device) if kernel.slots else None
        gs_t = gs.stride(0) if gs.shape[0] > 1 else 0
        given = inputs(x, r) | {"gsp": gs, "gsp_t": gs_t, "gxp": gx, "cp": c, "partial": partial}
        values = kernel.values(**given, first=first, glast=g_last, gfirst=g_first)
        kernel.launch(-(-kernel.lanes // (vec * BLOCK)), BLOCK, values, x.device)
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

    def vec(self, wanted: Wanted, *tensors: Tensor | None) -> int:
        """Neurons to a thread: as many as alignment allows and, in a backward, registers; at most 4."""
        place, states = self.layout, max(1, len(self.program.states))
        strides = [place.size, place.time_stride, *(t.stride(0) for t in tensors if t is not None and t.dim())]
        item = self.signature.dtype.itemsize
        for vec in (4, 2):
            aligned = all(t.data_ptr() % (vec * item) == 0 for t in tensors if t is not None)
            fits = wanted is None or place.steps * states * vec <= REGISTERS
            if fits and aligned and all(s % vec == 0 for s in strides) and self.lanes(vec) % vec == 0:
                return vec
        return 1
