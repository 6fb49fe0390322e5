"""LT-SNN: a LIF neuron that learns its threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.check import number
from snnbench.kernels import State
from snnbench.neurons.base import SpikingNeuron
from snnbench.neurons.surrogate import Surrogate, Triangle


class LTSNN(SpikingNeuron):
    """LIF with a learnable threshold (Hasssan et al., IJCNN 2024; Ahmedhasssan/LV-Surrogate-Gradient-TE-SNN-VGG).

    h = leak v + x; s = H(h - theta); v = reset(h, s). One theta per layer. With the surrogate's derivative g at
    h - theta, ds/dh = g and ds/dtheta = -g (1 + sigmoid(h - theta) s): above threshold, theta learns faster.

    Args:
        leak: fraction of the membrane that is kept, in [0, 1].
        v_th: theta at the start.
        surrogate, options: see SpikingNeuron.
    """

    label = "LT-SNN"
    year = 2024

    def __init__(
        self,
        *,
        leak: float = 0.5,
        surrogate: str | Mapping[str, Any] | Surrogate = Triangle(),  # noqa: B008  frozen
        **options: Any,
    ) -> None:
        super().__init__(surrogate=surrogate, **options)
        self.leak = number("neuron.leak", leak, "[0, 1]")
        self.threshold = nn.Parameter(torch.tensor(self.v_th))

    @property
    def work(self) -> dict[str, int]:
        """leak v; what makes the threshold learn faster is of training alone."""
        return {"products": 1, "resets": 1, "reads": 1, "writes": 1}

    def coefficients(self) -> dict[str, Tensor]:
        return {"theta": self.threshold}

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
        h = state["v"] * self.leak + x
        u = (h - c["theta"]).detach()
        more = u.sigmoid() * (u >= 0).to(u.dtype)
        s = spike(h - c["theta"] - more * (c["theta"] - c["theta"].detach()))  # the last term is 0
        return s, {"v": self.reset(h, s, c["theta"])}

    def extra_repr(self) -> str:
        return f"leak={self.leak:g}, learnable threshold, {super().extra_repr()}"
