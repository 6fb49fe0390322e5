"""The CUDA engine: kernels compiled by NVRTC and launched through CuPy, on PyTorch's stream and device.

No launch waits for the device or reads from it, so calls can be captured in a CUDA graph (after one call to compile).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snnbench.kernels.cell import NoEngine
from snnbench.kernels.codegen.cuda import cuda_source, kept_bytes, widest
from snnbench.kernels.codegen.passes import Variant
from snnbench.kernels.codegen.program import Program
from snnbench.kernels.codegen.source import KernelSource
from snnbench.kernels.engines import nvrtc
from snnbench.kernels.engines.arguments import Values
from snnbench.kernels.engines.base import FrameKernel, Wanted, inputs
from snnbench.kernels.engines.contract import States
from snnbench.kernels.engines.nvrtc import cupy
from snnbench.kernels.engines.signature import Signature

BLOCK = 256
LANES = 1 << 18
"""Threads that a backward uses to add up gradients of coefficients: enough to fill a device, few to add up."""

MOST = 1 << 31
"""Neurons of a frame must be fewer, so that a thread finds its channel in 32 bits."""
LOCAL = 1 << 14
"""Bytes of local memory that a thread may ask for; the device sets them aside for all threads that it can hold."""

Launch = Callable[[int, tuple[int, ...]], None]
"""Starts a kernel on its device, on PyTorch's stream there: so many blocks, with the values of its parameters."""


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
def compiled(
    program: Program, variant: Variant, backward: bool, vec: int, device: torch.device
) -> tuple[Launch, tuple[str, ...]]:
    """A kernel on a device, and its parameters' names."""
    source = cuda_source(program, variant, backward, vec)
    return load(source, device), source.parameters


def load(source: KernelSource, device: torch.device) -> Launch:
    """Compile `source` for `device`, and load it there."""
    driver, module, index = cupy().cuda.driver, cupy().cuda.function.Module(), device.index
    code = nvrtc.compiled(source.text, torch.cuda.get_device_capability(device))
    try:
        with torch.cuda.device(device):
            module.load(code)
            kernel = module.get_function(source.name)
    except driver.CUDADriverError as error:
        raise NoEngine(f"the device does not take the kernel ({error})") from error

    def launch(blocks: int, values: tuple[int, ...]) -> None:
        if torch.cuda.current_device() != index:
            with torch.cuda.device(device):
                return launch(blocks, values)
        stream = _stream(torch._C._cuda_getCurrentRawStream(index), index)
        try:
            return kernel((blocks,), (BLOCK,), values, stream=stream)
        except driver.CUDADriverError as error:
            raise NoEngine(f"the device does not start the kernel ({error})") from error

    return launch


@functools.lru_cache(maxsize=256)
def _stream(pointer: int, device: int) -> Any:
    return cupy().cuda.ExternalStream(pointer, device)


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A kernel to launch.

    Attributes:
        values: puts a call's tensors and strides in the order of its parameters.
        blocks: of threads.
        lanes: neurons at work at once.
        slots: sums that it makes for each of them.
    """

    launch: Launch
    values: Values
    blocks: int
    lanes: int
    slots: int


class CudaKernel(FrameKernel):
    """A program for calls of one signature on a CUDA device."""

    def __init__(self, program: Program, signature: Signature) -> None:
        super().__init__(program, signature)
        place = self.layout
        self.period = place.channels * place.inner if place.channels > 1 else 1
        self.kernels: dict[tuple[Wanted, int, torch.device], Loaded] = {}
        self.widths = {backward: self.width(backward) for backward in (False, True)}

    def prepare(self, device: torch.device, wanted: Wanted = None) -> None:
        if self.work:
            self.load(None, self.widths[False], device)
            if wanted is not None:
                self.load(wanted, self.widths[True], device)

    def source(self, wanted: Wanted) -> KernelSource:
        vec = self.widths[wanted is not None]
        return cuda_source(self.program, self.variant(wanted, self.uneven(vec)), wanted is not None, vec)

    def load(self, wanted: Wanted, vec: int, device: torch.device) -> Loaded:
        variant, place, backward = self.variant(wanted, self.uneven(vec)), self.layout, wanted is not None
        if place.size >= MOST:
            raise NoEngine(f"a frame has {place.size:,} neurons, more than a CUDA kernel numbers")
        if backward and kept_bytes(self.program, variant, vec) > LOCAL:
            raise NoEngine(f"T={variant.steps} is more than a thread of a CUDA device can keep")
        launch, parameters = compiled(self.program, variant, backward, vec, device)
        slots = len(variant.slots(self.program))
        lanes = self.lanes(vec) if slots else place.size
        sizes = {"size": place.size, "lanes": lanes, "inner": place.inner, "channels": place.channels}
        settled = sizes | {name: value for name, value in self.settled(wanted).items() if not name.endswith("_c")}
        values = self.values(parameters, wanted, settled, tensors=["partial"] if backward else [])
        found = self.kernels[wanted, vec, device] = Loaded(launch, values, -(-lanes // (vec * BLOCK)), lanes, slots)
        return found

    def launch_forward(
        self, x: Tensor, r: Tensor | None, first: States, c: tuple[Tensor, ...], s: Tensor, last: States
    ) -> None:
        vec = self.vec(False, 0, x, r, s)
        kernel = self.kernels.get((None, vec, x.device)) or self.load(None, vec, x.device)
        kernel.launch(kernel.blocks, kernel.values(**inputs(x, r), sp=s, first=first, last=last, cp=c))

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
        gs_t = gs.stride(0) if gs.shape[0] > 1 else 0
        vec = self.vec(True, gs_t, x, r, gs, gx)
        kernel = self.kernels.get((wanted, vec, x.device)) or self.load(wanted, vec, x.device)
        shape = (kernel.slots, kernel.lanes)
        partial = torch.empty(shape, dtype=torch.float32, device=x.device) if kernel.slots else None
        given = inputs(x, r) | {"gsp": gs, "gsp_t": gs_t, "gxp": gx, "cp": c, "partial": partial}
        kernel.launch(kernel.blocks, kernel.values(**given, first=first, glast=g_last, gfirst=g_first))
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

    def width(self, backward: bool) -> int:
        """Neurons to a thread: as many as this layout allows and registers hold."""
        variant = self.variant((True,) * len(self.channelled) if backward else None, True)
        vec, place = widest(self.program, variant, backward), self.layout
        while place.size % vec or place.time_stride % vec or self.lanes(vec) % vec:
            vec //= 2
        return vec

    def uneven(self, vec: int) -> bool:
        """Whether the neurons of a thread differ in their channels."""
        return self.period > 1 and self.layout.inner % vec > 0

    def vec(self, backward: bool, stride: int, *tensors: Tensor | None) -> int:
        """The same for a call, whose tensors may lie at odd addresses, or a stride apart that is odd."""
        vec, item = self.widths[backward], self.signature.dtype.itemsize
        at = stride * item
        for tensor in tensors:
            if tensor is not None:
                at |= tensor.data_ptr()
        while at % (vec * item):
            vec //= 2
        return vec
