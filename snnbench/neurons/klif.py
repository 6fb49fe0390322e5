"""KLIF: a LIF neuron that learns the scale of its membrane, and so the slope of its surrogate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.check import flag, number
from snnbench.kernels import State
from snnbench.neurons.base import SpikingNeuron
from snnbench.neurons.lif import charge
from snnbench.neurons.surrogate import Surrogate


class KLIF(SpikingNeuron):
    """k-based LIF (Jiang and Zhang, arXiv 2302.09238). No official code; the equations are SpikingJelly's KLIFNode.

    h = LIF's charge; f = relu(k h); s = H(f - v_th); then

    - scale_reset=False: v = f (1 - s) + v_reset s        or, soft,  v = f - s v_th
    - scale_reset=True:  v = (f / k) (1 - s) + v_reset s  or, soft,  v = (f - s v_th) / k

    One k per layer, unconstrained. relu=False and learn_k=False are for the ablation.

    Args:
        tau: membrane time constant in timesteps, at least 1.
        decay_input: whether the input is divided by tau, too.
        scale_reset: whether the membrane that is carried on is divided by k again.
        relu: false leaves the ReLU out: f = k h.
        k: initial value of k, above 0.
        learn_k: false keeps the initial value for good.
        surrogate: see SpikingNeuron.
        options: the other arguments of SpikingNeuron. detach_reset=True is reported not to converge.
    """

    year = 2023

    def __init__(
        self,
        *,
        tau: float = 2.0,
        decay_input: bool = True,
        scale_reset: bool = False,
        relu: bool = True,
        k: float = 1.0,
        learn_k: bool = True,
        surrogate: str | Mapping[str, Any] | Surrogate = "sigmoid",
        **options: Any,
    ) -> None:
        super().__init__(surrogate=surrogate, **options)
        self.tau = number("neuron.tau", tau, "[1, inf)")
        self.decay_input = flag("neuron.decay_input", decay_input)
        self.scale_reset = flag("neuron.scale_reset", scale_reset)
        self.relu = flag("neuron.relu", relu)
        self.fixed_k = number("neuron.k", k, "(0, inf)")
        self.k = nn.Parameter(torch.tensor(self.fixed_k)) if flag("neuron.learn_k", learn_k) else None

    def coefficients(self) -> dict[str, Tensor]:
        return {} if self.k is None else {"k": self.k}

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
        h = charge(state["v"], x, 1 / self.tau, self.v_reset or 0.0, self.decay_input)
        k = c.get("k", self.fixed_k)
        f = torch.relu(k * h) if self.relu else k * h
        s = spike(f - self.v_th)
        if not self.scale_reset:
            return s, {"v": self.reset(f, s)}
        soft = self.v_reset is None
        return s, {"v": self.reset(f, s) / k if soft else self.reset(f / k, s)}

    def extra_repr(self) -> str:
        own = f"tau={self.tau:g}, decay_input={self.decay_input}, scale_reset={self.scale_reset}, relu={self.relu}"
        if self.k is None:
            own += f", k={self.fixed_k:g}"
        return f"{own}, {super().extra_repr()}"
