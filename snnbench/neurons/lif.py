"""Integrate-and-fire neurons without learnable parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from snnbench.check import flag, number
from snnbench.errors import UserError
from snnbench.kernels import State
from snnbench.neurons.base import SpikingNeuron
from snnbench.neurons.membrane_norm import MembraneNormed
from snnbench.neurons.surrogate import Surrogate


def charge(v: Tensor, x: Tensor, rate: Tensor | float, rest: float, decay_input: bool) -> Tensor:
    """The membrane before firing: v + (x - (v - rest)) rate, or v - (v - rest) rate + x; rate is 1 / tau."""
    pull = v - rest if rest else v
    return v + (x - pull) * rate if decay_input else v - pull * rate + x


class IF(SpikingNeuron):
    """Integrate and fire.  h = v + x; s = H(h - v_th); v = reset(h, s)."""

    year = 1907

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
        h = state["v"] + x
        s = spike(h - self.v_th)
        return s, {"v": self.reset(h, s)}


class LIF(MembraneNormed):
    """Leaky integrate and fire, in the three forms found in the literature.

    With v_r = v_reset, or 0 under soft reset:

    - decay_input=True:   h = v + (x - (v - v_r)) / tau         (SpikingJelly's default)
    - decay_input=False:  h = v - (v - v_r) / tau + x           (CLIF, AR-LIF, PSN code)
    - leak=lambda:        h = lambda v + x                      (tdBN 0.25, TET 0.5, Guo line 0.25)

    then s = H(h - v_th); v = reset(h, s).

    Args:
        tau: membrane time constant in timesteps, at least 1 (tau = 1 forgets everything).
        decay_input: whether the input is divided by tau, too.
        leak: fraction of the membrane that is kept, in [0, 1]; where given, it replaces tau and decay_input.
        detach_state: if true, no gradient flows through time: what a timestep takes over from the one before is a
            constant to it (SLTT; Meng et al., ICCV 2023, arXiv 2302.14311).
        options: membrane_norm, see MembraneNormed, and the arguments of SpikingNeuron.
    """

    year = 1907

    def __init__(
        self,
        *,
        tau: float = 2.0,
        decay_input: bool = True,
        leak: float | None = None,
        detach_state: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.detach_state = flag("neuron.detach_state", detach_state)
        self.tau = number("neuron.tau", tau, "[1, inf)")
        self.decay_input = flag("neuron.decay_input", decay_input)
        self.leak = number("neuron.leak", leak, "[0, 1]", also=(None,))
        if leak is not None and (tau, decay_input) != (2.0, True):
            raise UserError(f"neuron.tau={tau}, neuron.decay_input={decay_input}: no effect beside neuron.leak={leak}.")

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
        v = state["v"].detach() if self.detach_state else state["v"]
        if self.leak is not None:
            h = v * self.leak + x
        else:
            h = charge(v, x, 1 / self.tau, self.v_reset or 0.0, self.decay_input)
        s = spike(self.fired_on(h, c) - self.v_th)
        return s, {"v": self.reset(h, s)}

    def extra_repr(self) -> str:
        decay = f"tau={self.tau:g}, decay_input={self.decay_input}" if self.leak is None else f"leak={self.leak:g}"
        if self.detach_state:
            decay += ", state detached"
        if self.norm is not None:
            decay += ", membrane normalised"
        return f"{decay}, {super().extra_repr()}"


class LIFNoReset(LIF):
    """LIF that keeps its membrane when it fires: h as in LIF with v_r = 0; s = H(h - v_th); v = h.

    The "LIF without reset" of the PSN paper (Fang et al., NeurIPS 2023, arXiv 2304.12760), there with decay_input=True.

    Args:
        tau, decay_input, leak: see LIF.
        v_th, surrogate, channels, engine: see SpikingNeuron.
    """

    label = "LIF without reset"
    year = 2023

    def __init__(
        self,
        *,
        tau: float = 2.0,
        decay_input: bool = True,
        leak: float | None = None,
        v_th: float = 1.0,
        surrogate: str | Mapping[str, Any] | Surrogate = "atan",
        channels: int | None = None,
        engine: str = "auto",
    ) -> None:
        super().__init__(
            tau=tau, decay_input=decay_input, leak=leak,
            v_th=v_th, v_reset=None, surrogate=surrogate, channels=channels, engine=engine,
        )  # fmt: skip

    def reset(self, h: Tensor, s: Tensor, threshold: Tensor | None = None) -> Tensor:
        return h

    def reset_repr(self) -> str:
        return "none"
