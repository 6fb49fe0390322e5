"""GLIF: gates that mix the leak, integration and reset forms of LIF, all learnt, per channel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.check import count, flag, number
from snnbench.kernels import State
from snnbench.neurons.base import SpikingNeuron
from snnbench.neurons.surrogate import Rectangle, Surrogate


def _logit(p: float) -> float:
    return -math.log(1 / p - 1)


class GLIF(SpikingNeuron):
    """Gated LIF (Yao et al., NeurIPS 2022), channel-wise, as in the official code Ikarosy/Gated-LIF.

    With s' the spike of the timestep before:

    h = v (1 - alpha (1 - tau)) (1 - gamma s') - (1 - alpha) leak + x (1 - beta (1 - g_t)) - (1 - gamma) v_re s'
    s = H(h - v_th); v = h

    All of alpha, beta, gamma (gates), tau, v_th, leak, v_re and g_t are sigmoids of the learnable parameters
    alpha, beta, gamma, tau, v_threshold, leak, v_re [C] and conduct [T, C]; without `channels`, one number per
    layer instead of C. The parameters start so that their sigmoids have the given values. The reset acts one
    timestep late, so the states are v and s.

    Args:
        T: number of timesteps.
        alpha, beta, gamma: initial gates, in (0, 1); when None, the parameter is uniform in (-0.1, 0.1).
        hard_gates: round the gates to 0 or 1; their gradient passes through unchanged to the sigmoid, as in the PSN
            authors' code.
        tau: initial exponential decay, in (0, 1).
        v_th: initial threshold, in (0, 1).
        leak: initial linear decay, in (0, 1); v_th / (2 T) when None.
        v_re: initial soft-reset voltage, in (0, 1); v_th when None.
        conduct: initial g_t, in (0, 1).
        surrogate, channels, engine: see SpikingNeuron.
    """

    year = 2022
    states = ("v", "s")
    per_step = ("gain",)
    gates = ("alpha", "beta", "gamma")

    def __init__(
        self,
        *,
        T: int,
        alpha: float | None = None,
        beta: float | None = None,
        gamma: float | None = None,
        hard_gates: bool = False,
        tau: float = 0.25,
        v_th: float = 0.5,
        leak: float | None = None,
        v_re: float | None = None,
        conduct: float = 0.5,
        surrogate: str | Mapping[str, Any] | Surrogate = Rectangle(strict=True),  # noqa: B008  frozen
        channels: int | None = None,
        engine: str = "auto",
    ) -> None:
        super().__init__(v_th=v_th, v_reset=None, surrogate=surrogate, channels=channels, engine=engine)
        self.T = count("neuron.T", T)
        shape = () if channels is None else (channels,)

        def learnable(key: str, start: float, *size: int) -> nn.Parameter:
            return nn.Parameter(torch.full(size, _logit(number(f"neuron.{key}", start, "(0, 1)"))))

        def gate(key: str, start: float | None) -> nn.Parameter:
            if start is None:
                return nn.Parameter(torch.empty(shape).uniform_(-0.1, 0.1))
            return learnable(key, start, *shape)

        self.alpha, self.beta, self.gamma = gate("alpha", alpha), gate("beta", beta), gate("gamma", gamma)
        self.hard_gates = flag("neuron.hard_gates", hard_gates)
        self.tau = learnable("tau", tau, *shape)
        self.v_threshold = learnable("v_th", v_th, *shape)
        self.leak = learnable("leak", v_th / (2 * T) if leak is None else leak, *shape)
        self.v_re = learnable("v_re", v_th if v_re is None else v_re, *shape)
        self.conduct = learnable("conduct", conduct, T, *shape)

    def coefficients(self) -> dict[str, Tensor]:
        """The gates folded into what multiplies v, x and s': small tensors, so that the step stays short."""
        alpha, beta, gamma = (self._opening(gate) for gate in (self.alpha, self.beta, self.gamma))
        return {
            "decay": 1 - alpha * (1 - self.tau.sigmoid()),
            "drift": (1 - alpha) * self.leak.sigmoid(),
            "gain": 1 - beta * (1 - self.conduct.sigmoid()),
            "gamma": gamma,
            "drop": (1 - gamma) * self.v_re.sigmoid(),
            "v_th": self.v_threshold.sigmoid(),
        }

    def _opening(self, gate: Tensor) -> Tensor:
        opening = gate.sigmoid()
        if not self.hard_gates:
            return opening
        # exactly 0 or 1, also in half precision: what is added is 0 and only carries the gradient
        return (opening > 0.5).to(opening.dtype) + (opening - opening.detach())

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
        v, last = state["v"], state["s"]
        h = c["decay"] * v * (1 - c["gamma"] * last) - c["drift"] + x * c["gain"] - c["drop"] * last
        s = spike(h - c["v_th"])
        return s, {"v": h, "s": s}

    def extra_repr(self) -> str:
        gates = "hard" if self.hard_gates else "soft"
        return f"T={self.T}, channels={self.channels}, gates={gates}, surrogate={self.spike}, engine={self.engine}"
