"""What the CPU and the CUDA kernels share: results allocated, tensors brought into the layout of the frames.

An engine whose kernels take tensors frame by frame, as loop.cpp and loop.cu do, can build on it; none has to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from snnbench.kernels.codegen.passes import Variant
from snnbench.kernels.codegen.program import Program
from snnbench.kernels.codegen.source import KernelSource
from snnbench.kernels.engines.arguments import Values, values_of
from snnbench.kernels.engines.contract import Gradients, States
from snnbench.kernels.engines.layout import same_frames
from snnbench.kernels.engines.signature import IO, Signature, frame, frames

Wanted = tuple[bool, ...] | None
"""Which kernel: that of the forward (None), or of the backward that gives these coefficients' gradients."""


class FrameKernel:
    """A program made ready for calls of one signature; an engine adds what raises NotImplementedError here.

    The launches find all tensors laid out frame by frame as `layout` says, and are not called for empty ones.
    """

    def __init__(self, program: Program, signature: Signature) -> None:
        self.program, self.signature = program, signature
        self.layout = signature.layout(program)
        self.channelled = signature.channelled(program)
        self.work = self.layout.size * self.layout.steps
        self.alike = not signature.static and signature.strides == self.layout.strides
        shapes = zip(signature.coefficients, program.per_step, self.channelled, strict=True)
        self.coefficient_strides = [
            ((shape[-1] if len(shape) > 1 else 1) if per_step else 0, int(channelled))
            for shape, per_step, channelled in shapes
        ]
        self.x_stride = self.layout.time_stride if self.layout.dense else self.layout.size
        self.none = (None,) * len(program.states)

    def prepare(self, device: torch.device, wanted: Wanted = None) -> None:
        raise NotImplementedError

    def source(self, wanted: Wanted) -> KernelSource:
        raise NotImplementedError

    def text(self, backward: bool) -> str:
        return self.source((True,) * len(self.program.coefficients) if backward else None).frame

    def launch_forward(
        self, x: Tensor, r: Tensor | None, first: States, c: tuple[Tensor, ...], s: Tensor, last: States
    ) -> None:
        raise NotImplementedError

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
        """Writes gx and g_first; returns the gradients of the coefficients, None where not wanted."""
        raise NotImplementedError

    def variant(self, wanted: Wanted, period: bool = False) -> Variant:
        s = self.signature
        wanted = (False,) * len(self.channelled) if wanted is None else wanted
        return Variant(self.layout.steps, IO[s.dtype], s.static, self.channelled, wanted, period)

    def settled(self, wanted: Wanted) -> dict[str, int]:
        """What a kernel's launches have in common: strides over time and, of coefficients, over channels."""
        size = self.layout.size
        result = {"sp_t": size} if wanted is None else {"gxp_t": 0 if self.signature.static else size}
        result |= {"rp_t": size} if self.program.residual else {}
        return {"xp_t": self.x_stride} | result | strides_of("cp", self.coefficient_strides)

    def values(
        self,
        parameters: Sequence[str],
        wanted: Wanted,
        settled: dict[str, int],
        numbers: Sequence[str] = (),
        tensors: Sequence[str] = (),
        groups: dict[str, int] | None = None,
    ) -> Values:
        """What puts a launch's arguments in order: those that every launch gives, and those named here."""
        n = len(self.program.states)
        groups = {"first": n, "cp": len(self.program.coefficients)} | (groups or {})
        inputs = ["xp", "rp"] if self.program.residual else ["xp"]
        if wanted is None:
            return values_of(parameters, settled, numbers, [*inputs, "sp", *tensors], groups | {"last": n})
        groups |= {"glast": n, "gfirst": n}
        return values_of(parameters, settled, ["gsp_t", *numbers], [*inputs, "gsp", "gxp", *tensors], groups)

    def forward(
        self,
        x: Tensor,
        states: States,
        coefficients: tuple[Tensor, ...],
        last: bool,
        residual: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Spikes, and the final states if `last`."""
        s = self.like(x, 0)
        finals = [self.state_like(x) for _ in states] if last else []
        if self.work:
            x, first = self.given(x, states)
            self.launch_forward(x, self.beside(residual), first, coefficients, s, tuple(finals) or self.none)
        return s, finals

    def backward(
        self,
        x: Tensor,
        states: States,
        coefficients: tuple[Tensor, ...],
        gs: Tensor | None,
        g_last: States,
        wanted: tuple[bool, ...],
        residual: Tensor | None = None,
    ) -> Gradients:
        """Of the sum of spikes x gs and final states x g_last, the gradients that `wanted` asks for."""
        n = len(states)
        x = self.as_it_was(x)
        gx = self.like(x, int(self.signature.static)) if wanted[0] else None
        g_first = [self.state_like(x) if want else None for want in wanted[1 : n + 1]]
        want = wanted[n + 1 :]
        if not self.work:
            return gx, g_first, [torch.zeros_like(c) if w else None for c, w in zip(coefficients, want, strict=True)]
        strides = self.layout.strides
        if gs is None:
            gs = torch.zeros(self.signature.shape[1:], dtype=x.dtype, device=x.device).expand(self.signature.shape)
        x, first = self.given(x, states)
        last = tuple([g if g is None else frame(g, strides) for g in g_last])
        r, g = self.beside(residual), frames(gs, strides)
        sums = self.launch_backward(x, r, first, coefficients, g, last, gx, tuple(g_first), want)
        return gx, g_first, sums

    def as_it_was(self, x: Tensor) -> Tensor:
        """x, which autograd's hooks for saved tensors may have brought back in another layout."""
        expected, given = self.signature.strides[len(self.signature.shape) - x.dim() :], x.stride()
        if given == expected or same_frames(tuple(x.shape), given, expected):
            return x
        if x.dim() == len(expected) and expected[0] == 0:
            return (
                torch.empty_strided(x.shape[1:], expected[1:], dtype=x.dtype, device=x.device)
                .copy_(x[0])
                .expand(x.shape)
            )
        return torch.empty_strided(x.shape, expected, dtype=x.dtype, device=x.device).copy_(x)

    def like(self, x: Tensor, skip: int) -> Tensor:
        """Memory laid out as the frames are, in x's dtype, for all dimensions but the first `skip`."""
        if self.alike:
            return torch.empty_like(x)
        shape, strides = self.signature.shape[skip:], self.layout.strides[skip:]
        return torch.empty_strided(shape, strides, dtype=x.dtype, device=x.device)

    def beside(self, residual: Tensor | None) -> Tensor | None:
        """The residual, frames one after the other as the kernels take it."""
        if residual is None:
            return None
        strides = self.layout.strides
        r = frames(residual, strides)
        if r.stride(0) != strides[0] and r.shape[0] > 1:
            r = torch.empty_strided(r.shape, strides, dtype=r.dtype, device=r.device).copy_(r)
        return r

    def state_like(self, x: Tensor) -> Tensor:
        """Memory for a state or its gradient."""
        shape, strides = self.signature.shape[1:], self.layout.strides[1:]
        return torch.empty_strided(shape, strides, dtype=torch.float32, device=x.device)

    def given(self, x: Tensor, states: States) -> tuple[Tensor, States]:
        """x and the states as the kernels take them: as they are, or copies where their layout is another."""
        strides = self.layout.strides
        if not self.layout.dense:
            x = frames(x, strides)
        return x, tuple([state if state is None else frame(state, strides) for state in states])


def inputs(x: Tensor, r: Tensor | None) -> dict[str, Any]:
    """What a launch reads, by the names of the parameters."""
    return {"xp": x} if r is None else {"xp": x, "rp": r}


def strides_of(pointer: str, strides: Sequence[tuple[int, int]]) -> dict[str, int]:
    """Strides over time and over channels, as the parameters beside the pointers `pointer`0, `pointer`1, ..."""
    over_time = {f"{pointer}{i}_t": t for i, (t, _) in enumerate(strides)}
    return over_time | {f"{pointer}{i}_c": c for i, (_, c) in enumerate(strides)}
