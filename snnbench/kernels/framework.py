"""What the CPU and the CUDA kernels share: results allocated, tensors brought into the layout of the frames."""

from __future__ import annotations

import torch
from torch import Tensor

from snnbench.kernels.call import IO, Gradients, Signature, frame, frames
from snnbench.kernels.trace import Program
from snnbench.kernels.variant import Variant

States = tuple[Tensor | None, ...]


class FrameKernel:
    """A program made ready for calls of one signature; an engine supplies `launch_forward` and `launch_backward`.

    Those two find all tensors laid out frame by frame as `layout` says, and are not called for empty ones.
    """

    def __init__(self, program: Program, signature: Signature) -> None:
        self.program, self.signature = program, signature
        self.layout = signature.layout(program)
        self.channelled = signature.channelled(program)
        self.work = self.layout.size * self.layout.steps
        shapes = zip(signature.coefficients, program.per_step, self.channelled, strict=True)
        self.coefficient_strides = [
            ((shape[-1] if len(shape) > 1 else 1) if per_step else 0, int(channelled))
            for shape, per_step, channelled in shapes
        ]

    def prepare(self) -> None:
        """Compile what a forward needs. Raises NoEngine where that fails."""
        raise NotImplementedError

    def launch_forward(self, x: Tensor, first: States, c: tuple[Tensor, ...], s: Tensor, last: States) -> None:
        raise NotImplementedError

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
        """Writes gx and g_first; returns the gradients of the coefficients, None where not wanted."""
        raise NotImplementedError

    def variant(self, wanted: tuple[bool, ...], period: bool = False) -> Variant:
        s = self.signature
        return Variant(self.layout.steps, IO[s.dtype], s.static, self.channelled, wanted, period)

    def forward(
        self, x: Tensor, states: States, coefficients: tuple[Tensor, ...], last: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """Spikes, and the final states if `last`."""
        shape, strides = self.signature.shape, self.layout.strides
        s = torch.empty_strided(shape, strides, dtype=x.dtype, device=x.device)
        finals: list[Tensor] = []
        if last:
            finals = [torch.empty_strided(shape[1:], strides[1:], device=x.device, dtype=torch.float32) for _ in states]
        if self.work:
            x, first = self.given(x, states)
            self.launch_forward(x, first, coefficients, s, tuple(finals) or (None,) * len(states))
        return s, finals

    def backward(
        self,
        x: Tensor,
        states: States,
        coefficients: tuple[Tensor, ...],
        gs: Tensor | None,
        g_last: States,
        wanted: tuple[bool, ...],
    ) -> Gradients:
        """The gradients that `wanted` asks for: of x, of each state, of each coefficient."""
        shape, strides, n = self.signature.shape, self.layout.strides, len(states)
        skip = int(self.signature.static)
        gx = None
        if wanted[0]:
            gx = torch.empty_strided(shape[skip:], strides[skip:], dtype=x.dtype, device=x.device)
        g_first = tuple(
            torch.empty_strided(shape[1:], strides[1:], dtype=torch.float32, device=x.device) if want else None
            for want in wanted[1 : n + 1]
        )
        want = wanted[n + 1 :]
        if not self.work:
            sums = [torch.zeros_like(c) if w else None for c, w in zip(coefficients, want, strict=True)]
            return Gradients(gx, list(g_first), sums)
        if gs is None:
            gs = torch.zeros(shape[1:], dtype=x.dtype, device=x.device).expand(shape)
        x, first = self.given(x, states)
        last = tuple([frame(g, strides) for g in g_last])
        sums = self.launch_backward(x, first, coefficients, frames(gs, strides), last, gx, g_first, want)
        return Gradients(gx, list(g_first), sums)

    def given(self, x: Tensor, states: States) -> tuple[Tensor, States]:
        """x and the states as the kernels take them: as they are, or copies where their layout is another."""
        strides = self.layout.strides
        if not self.layout.dense:
            x = frames(x, strides)
        return x, tuple([frame(state, strides) for state in states])
