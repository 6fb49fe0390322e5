"""Integrate-and-fire neurons without learnable parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from snnbench.errors import UserError
from snnbench.kernels import State
from snnbench.neurons.base import SpikingNeuron
from snnbench.neurons.surrogate import Surrogate


class IF(SpikingNeuron):
    """Integrate and fire.  h = v + x; s = H(h - v_th); v = reset(h, s)."""

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
        h = state["v"] + x
        s = spike(h - self.v_th)
        return s, {"v": self.reset(h, s)}


class LIF(SpikingNeuron):
    """Leaky integrate and fire, in the three forms found in the literature.

    With v_r = v_reset, or 0 under soft reset:

    - decay_input=True:   h = v + (x - (v - v_r)) / tau         (SpikingJelly's default)
    - decay_input=False:  h = v - (v - v_r) / tau + x           (CLIF, AR-LIF, PSN code)
    - leak=lambda:        h = lambda v + x                      (tdBN 0.25, TET 0.5, Guo line 0.25)

    then s = H(h - v_th); v = reset(h, s).

    Args:
        tau: membrane time constant in timesteps, > 1 (tau = 1 forgets everything).
        decay_input: whether the input is divided by tau, too.
        leak: fraction of the membrane that is kept, in [0, 1]; where given, it replaces tau and decay_input.
    """

    def __init__(
        self, *, tau: float = 2.0, decay_input: bool = True, leak: float | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        if not tau >= 1:
            raise UserError(f"neuron.tau={tau}: must be at least 1 timestep.")
        if leak is not None and not 0 <= leak <= 1:
            raise UserError(f"neuron.leak={leak}: must lie in [0, 1].")
        self.tau = float(tau)
        self.decay_input = decay_input
        self.leak = None if leak is None else float(leak)

    def charge(self, v: Tensor, x: Tensor) -> Tensor:
        """The membrane before firing."""
        if self.leak is not None:
            return v * self.leak + x
        rest = self.v_reset or 0.0
        pull = v - rest if rest else v
        if self.decay_input:
            return v + (x - pull) * (1 / self.tau)
        return v - pull * (1 / self.tau) + x

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
        h = self.charge(state["v"], x)
        s = spike(h - self.v_th)
        return s, {"v": self.reset(h, s)}
