"""ASGL: a LIF neuron that learns the width of its surrogate, whose smooth value it sometimes hands on in training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.check import flag, number
from snnbench.kernels import State
from snnbench.neurons.base import SpikingNeuron
from snnbench.neurons.surrogate import Surrogate


class ASGL(SpikingNeuron):
    """Adaptive smoothing gradient learning (Wang et al., ICML 2023; Windere/ASGL-SNN, `EfficientNoisySpikeII`).

    With f the primitive of the surrogate and k = 1 / width:

        h = leak v + x; s = H(h - v_th), or in training f(k (h - v_th)) with probability `noise`; v = reset(h, s)

    The gradient of s is that of f in either case, and it reaches k, which is learnt: one `alpha` per layer. Whether a
    neuron hands on f is drawn for each of its timesteps. One uniform number u per neuron gives all of these draws: from
    u >= 1 - noise, it is (u - (1 - noise)) / noise, else u / (1 - noise), uniform again and free of what it just
    decided; in float32 that is good for 24 bits, of which a draw takes 0.7 with noise 0.2.

    Args:
        width: of f at the start, above 0, in its own units: 1 leaves the surrogate as it is.
        log_slope: whether `alpha` is ln k, as with the official rectangle, or k itself, as with the official sigmoid.
        leak: fraction of the membrane that is kept, in (0, 1).
        learn_leak: whether it is learnt: sigma(w), one w per layer.
        noise: probability in [0, 1) of f in place of the spike. It takes the fused norm from the training step.
        surrogate: see SpikingNeuron; the official ones are a rectangle of width 1 and a sigmoid with alpha 1.
        options: the other arguments of SpikingNeuron.
    """

    year = 2023

    def __init__(
        self,
        *,
        width: float = 1.0,
        log_slope: bool = False,
        leak: float = 0.5,
        learn_leak: bool = True,
        noise: float = 0.0,
        surrogate: str | Mapping[str, Any] | Surrogate = "rectangle",
        **options: Any,
    ) -> None:
        super().__init__(surrogate=surrogate, **options)
        self.width = number("neuron.width", width, "(0, inf)")
        self.log_slope = flag("neuron.log_slope", log_slope)
        self.leak = number("neuron.leak", leak, "(0, 1)")
        self.noise = number("neuron.noise", noise, "[0, 1)")
        self.alpha = nn.Parameter(torch.tensor(-math.log(self.width) if self.log_slope else 1 / self.width))
        learnt = flag("neuron.learn_leak", learn_leak)
        self.w = nn.Parameter(torch.tensor(math.log(self.leak / (1 - self.leak)))) if learnt else None
        if self.noise:
            self.states = ("v", "draw")

    @property
    def work(self) -> dict[str, int] | None:
        """keep v, and the distance to the threshold times k; draws are of training alone."""
        return {"products": 2, "resets": 1, "reads": 1, "writes": 1} if self.noise else None

    def start(self, x: Tensor) -> State | None:
        if not (self.noise and self.training):
            return None
        dtype = torch.promote_types(x.dtype, torch.float32)
        return {"draw": torch.rand(x.shape[1:], dtype=dtype, device=x.device)}

    def coefficients(self) -> dict[str, Tensor]:
        found = {"slope": self.alpha.exp() if self.log_slope else self.alpha}
        if self.w is not None:
            found["keep"] = self.w.sigmoid()
        return found

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
        h = state["v"] * (self.leak if self.w is None else c["keep"]) + x
        above = (h - self.v_th) * c["slope"]
        s = spike(above)
        draw = {}
        if self.noise:
            smooth, draw["draw"] = self._draw(state["draw"].detach())
            if self.training:
                s = s + (smooth * (self.spike.primitive(above) - s)).detach()
        return s, {"v": self.reset(h, s), **draw}

    def _draw(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Whether a neuron is smooth in this timestep, as a number, and the u of the next."""
        keeps = 1 - self.noise
        smooth = u >= keeps
        return smooth.to(u.dtype), torch.where(smooth, (u - keeps) * (1 / self.noise), u * (1 / keeps))

    def extra_repr(self) -> str:
        learnt = "" if self.w is None else ", learnt"
        own = f"width={self.width:g}, log_slope={self.log_slope}, leak={self.leak:g}{learnt}, noise={self.noise:g}"
        return f"{own}, {super().extra_repr()}"
