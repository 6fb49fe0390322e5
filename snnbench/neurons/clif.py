"""CLIF: a LIF neuron with a complementary potential that deepens the reset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from snnbench.check import number
from snnbench.kernels import State
from snnbench.neurons.base import SpikingNeuron
from snnbench.neurons.surrogate import Surrogate


class CLIF(SpikingNeuron):
    """Complementary LIF (Huang et al., ICML 2024). No learnable parameter; states v and m; always a soft reset.

    h = v (1 - 1/tau) + x; s = H(h - v_th); m = m sigmoid(h / tau) + s; v = h - s (v_th + sigmoid(m)).
    The gradient flows through the reset and through m.

    Args:
        tau: membrane time constant in timesteps, at least 1.
        v_th, surrogate, channels, engine: see SpikingNeuron.
    """

    year = 2024
    states = ("v", "m")

    def __init__(
        self,
        *,
        tau: float = 2.0,
        v_th: float = 1.0,
        surrogate: str | Mapping[str, Any] | Surrogate = "rectangle",
        channels: int | None = None,
        engine: str = "auto",
    ) -> None:
        super().__init__(v_th=v_th, v_reset=None, surrogate=surrogate, channels=channels, engine=engine)
        self.tau = number("neuron.tau", tau, "[1, inf)")

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
        h = state["v"] * (1 - 1 / self.tau) + x
        s = spike(h - self.v_th)
        m = state["m"] * torch.sigmoid(h * (1 / self.tau)) + s
        return s, {"v": h - s * (self.v_th + torch.sigmoid(m)), "m": m}

    def extra_repr(self) -> str:
        return f"tau={self.tau:g}, {super().extra_repr()}"
