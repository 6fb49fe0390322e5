"""DS-ATGO: a PLIF neuron whose threshold and surrogate follow its membrane potentials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.check import count, number
from snnbench.kernels import State
from snnbench.neurons.base import SpikingNeuron
from snnbench.neurons.surrogate import Rectangle, Surrogate

NARROWEST = 1e-6  # a width must be above 0, 1 + tanh need not be


class DSATGO(SpikingNeuron):
    """Forward adaptive threshold, backward gradient optimisation (Jiang et al., AAAI 2026, arXiv 2511.13050).

    h = sigma(w) v + x; s = H(h - theta); v = h (1 - s). In training theta is mean(h) + std(h) over all that the layer
    holds in this timestep, and the surrogate's derivative g is stretched to a width that grows with that deviation:

        ds/dh = g((h - theta) / width) / width, width = 1 + tanh(std(h) - v_th),

    as the official code has it; the paper's text has theta in place of the deviation. Neither gets a gradient. In
    evaluation theta is a running mean of each timestep's thresholds, which starts at v_th, and the width is 1.

    Args:
        T: number of timesteps.
        tau: initial value of 1 / sigma(w), above 1. One w per layer.
        momentum: weight of the newest batch in the running thresholds, in (0, 1].
        v_th, surrogate: see SpikingNeuron; the official code has 1, and a rectangle of width 1.
        channels, engine: see SpikingNeuron.
    """

    label = "DS-ATGO"
    year = 2026
    per_step = ("timestep", "threshold")
    running: Tensor

    def __init__(
        self,
        *,
        T: int,
        tau: float = 5.0,
        momentum: float = 0.1,
        v_th: float = 1.0,
        surrogate: str | Mapping[str, Any] | Surrogate = Rectangle(),  # noqa: B008  frozen
        channels: int | None = None,
        engine: str = "auto",
    ) -> None:
        super().__init__(v_th=v_th, surrogate=surrogate, channels=channels, engine=engine)
        self.T = count("neuron.T", T)
        self.tau = number("neuron.tau", tau, "(1, inf)")
        self.momentum = number("neuron.momentum", momentum, "(0, 1]")
        self.w = nn.Parameter(torch.tensor(-math.log(self.tau - 1)))
        self.register_buffer("running", torch.full((self.T,), self.v_th))

    @property
    def not_fusable(self) -> str | None:
        return "its threshold is taken over the batch in the middle of a timestep" if self.training else None

    def coefficients(self) -> dict[str, Tensor]:
        found = {"keep": self.w.sigmoid()}
        if self.training:
            return found | {"timestep": torch.arange(self.T, device=self.w.device, dtype=self.w.dtype)}
        return found | {"threshold": self.running}

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
        h = c["keep"] * state["v"] + x
        s = self._adapted(h, c["timestep"], spike) if self.training else spike(h - c["threshold"])
        return s, {"v": self.reset(h, s)}

    def _adapted(self, h: Tensor, timestep: Tensor, spike: Surrogate) -> Tensor:
        """Spikes by the threshold of this batch, which the running one of the timestep moves towards."""
        if h.numel() < 2:
            raise ValueError("DSATGO takes a standard deviation in training: x needs more than one number a timestep")
        held = h.detach()
        deviation = held.std()
        threshold = held.mean() + deviation
        now = timestep.long().view(1)
        self.running.index_add_(0, now, self.momentum * (threshold - self.running[now]).to(self.running))
        width = (1 + torch.tanh(deviation - self.v_th)).clamp(min=NARROWEST)
        return spike((h - threshold) / width)

    def extra_repr(self) -> str:
        return f"T={self.T}, tau={self.tau:g} at the start, momentum={self.momentum:g}, {super().extra_repr()}"
