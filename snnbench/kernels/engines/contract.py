"""What an engine is, to the calls that use it: the contract that a new one has to keep."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from snnbench.kernels.codegen.program import Program
from snnbench.kernels.engines.signature import Signature

States = tuple[Tensor | None, ...]
Gradients = tuple[Tensor | None, list[Tensor | None], list[Tensor | None]]
"""Of x, of each state, of each coefficient; None for what was not asked for."""


class Kernel(Protocol):
    """A program made ready for calls of one signature, which may come from several threads at once.

    Tensors lie on the engine's kind of device. x has the signature's shape; where it is `static`, its stride over time
    is 0, or time is left out. Its dtype is the signature's, that of states and coefficients float32. A state is shaped
    like a frame of x, and None is a state of zeros. Work goes to PyTorch's current stream and waits for nothing: no
    value is read on the host.
    Under torch.compile, calls come from inside an op, where autograd is not at work: do not lean on it.
    """

    def prepare(self, device: torch.device, wanted: tuple[bool, ...] | None = None) -> None:
        """Compile what a forward on `device` needs, and better also the backward for the gradients of coefficients that
        are `wanted`. A call need not have been prepared, but here a failure still has a way out.

        Raises:
            NoEngine: it cannot be had; the next engine, or the reference, then takes the calls.
        """

    def forward(
        self,
        x: Tensor,
        states: States,
        coefficients: tuple[Tensor, ...],
        last: bool,
        residual: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Spikes [T, B, ...] in x's dtype, and the states after the last timestep if `last`, else none.

        A `residual`, shaped like x, is given to a program that reads one, and to no other.
        No result may share memory with an argument.
        """

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
        """Gradients of sum(spikes x gs) + sum(final states x g_last); None among these means zeros.

        Only x, the first states and the coefficients were saved: the membrane is computed anew. `wanted` has one entry
        for x, one for each state, one for each coefficient. The gradient of a `static` x is that of its one
        frame, the sum over time.
        The same call gives the same bits.
        """

    def text(self, backward: bool) -> str:
        """The kernel of the forward or of the backward pass, for people to read. Needs no device."""


class Engine(Protocol):
    """What makes kernels for one kind of device.

    Attributes:
        name: what `engine=<name>` says; lower case, not "auto" or "reference".
        device: the kind of device that it serves, as torch.device(...).type has it. Several engines may serve one.
    """

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> str: ...

    def check(self) -> None:
        """Find out whether it can be had in this process; called once, before anything else.

        Raises:
            NoEngine: it cannot, for want of a device, a library, a compiler; the message says what would mend it.
        """

    def describe(self) -> str:
        """What it compiles with, for the log; after a check that passed."""

    def kernel(self, program: Program, signature: Signature) -> Kernel:
        """The kernel for calls of `signature`. Compiles nothing yet, and needs no device and no check."""
