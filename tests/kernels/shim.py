"""The text of CUDA kernels, run as C++: the same statements, loops and indices, one thread after the other."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snnbench.kernels.bind import Bound
from snnbench.kernels.codegen.source import KernelSource
from snnbench.kernels.codegen.trace import trace
from snnbench.kernels.engines import build
from snnbench.kernels.engines.cuda import BLOCK, CudaEngine
from snnbench.kernels.engines.signature import Signature
from snnbench.kernels.fused import Call, Fused
from snnbench.kernels.repeated import frame_of, mark_on

HEADER = Path(__file__).with_name("shim.h").read_text()


def load(source: KernelSource, device: torch.device) -> Callable[..., None]:
    """As snnbench.kernels.engines.cuda.load, but for the CPU."""
    text = f"""{HEADER}{source.text}
extern "C" __attribute__((visibility("default"))) void launch(I grid, I block, const I* a) {{
  gridDim.x = grid, blockDim.x = block;
  for (blockIdx.x = 0; blockIdx.x < grid; ++blockIdx.x)
    for (threadIdx.x = 0; threadIdx.x < block; ++threadIdx.x) call({source.name}, a);
}}
"""
    library = build.build(text)

    def launch(blocks: int, values: Sequence[int]) -> None:
        assert len(values) == len(source.parameters)
        array = (ctypes.c_int64 * len(values))(*values)
        library.launch(ctypes.c_int64(blocks), ctypes.c_int64(BLOCK), array)

    return launch


def run(cell: Any, x: Tensor, state: dict[str, Tensor] | None) -> tuple[Tensor, dict[str, Tensor]]:
    """As kernels.run, by the CUDA engine's host code and kernels; `load` above must stand in for cuda.load."""
    program, c = trace(cell), tuple(v.contiguous() for v in cell.coefficients().values())
    static = x.stride(0) == 0 and x.shape[0] > 1
    signature = Signature(tuple(x.shape), x.stride(), x.dtype, static, tuple(tuple(v.shape) for v in c))
    kernel = CudaEngine().kernel(program, signature)
    given = [state[name] if state else None for name in program.states]
    frame = frame_of(x) if static and x.requires_grad else None
    assert (frame is not None) == (static and x.requires_grad)
    call = Call(Bound(CudaEngine(), kernel, program, signature, ""), cell, len(given), True)
    s, *final = Fused.apply(call, x, frame, mark_on(x.device) if static else None, *given, *c)
    return s, dict(zip(program.states, final, strict=True))
