"""PLIF: a LIF neuron that learns its membrane time constant."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.check import flag, number
from snnbench.kernels import State
from snnbench.neurons.base import SpikingNeuron
from snnbench.neurons.lif import charge
from snnbench.neurons.surrogate import Surrogate


class PLIF(SpikingNeuron):
    """Parametric LIF (Fang et al., ICCV 2021, arXiv 2007.05785): LIF with 1 / tau = sigmoid(w).

    h = v + (x - (v - v_r)) sigmoid(w), or with decay_input=False h = v - (v - v_r) sigmoid(w) + x;
    s = H(h - v_th); v = reset(h, s). One w per layer, w = -ln(tau - 1) at the start. As in the authors' code
    the reset is detached by default.

    Args:
        tau: initial membrane time constant in timesteps, above 1.
        decay_input: whether the input is scaled by sigmoid(w), too.
        detach_reset: see SpikingNeuron.
        options: the other arguments of SpikingNeuron.
    """

    year = 2021

    def __init__(
        self, *, tau: float = 2.0, decay_input: bool = True, detach_reset: bool = True, **options: Any
    ) -> None:
        super().__init__(detach_reset=detach_reset, **options)
        self.tau = number("neuron.tau", tau, "(1, inf)")
        self.decay_input = flag("neuron.decay_input", decay_input)
        self.w = nn.Parameter(torch.tensor(-math.log(self.tau - 1)))

    def coefficients(self) -> dict[str, Tensor]:
        return {"rate": self.w.sigmoid()}

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
        h = charge(state["v"], x, c["rate"], self.v_reset or 0.0, self.decay_input)
        s = spike(h - self.v_th)
        return s, {"v": self.reset(h, s)}

    def extra_repr(self) -> str:
        return f"tau={self.tau:g} at the start, decay_input={self.decay_input}, {super().extra_repr()}"
