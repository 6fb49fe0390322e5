"""DSR: a LIF neuron that is differentiated as what its spikes represent: a clamp of its mean input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.check import count, number
from snnbench.kernels import State
from snnbench.neurons.base import SpikingNeuron, check_reference, check_whole
from snnbench.neurons.surrogate import Surrogate


class DSR(SpikingNeuron):
    """Differentiation on spike representation (Meng et al., CVPR 2022; qymeng94/DSR, `LIFNeuron`).

    With beta = exp(-dt / tau) and the learnt threshold, one per layer:

        h = beta v + (1 - beta) x; s = H(h - alpha threshold); v = h - threshold s; the output is s threshold / dt

    Means over time are weighted by beta^(T - t), t = 1 ... T. The mean output stands for the mean input over tau, cut
    off below 0 and above threshold / dt; the gradient is of that: no surrogate, and nothing of the single spikes. Where
    the mean input is within, each timestep's input gets an equal share of the outputs' weighted gradients; where it is
    above, the threshold does.

    Args:
        T: number of timesteps, all of which it needs at once: it takes no state.
        tau: membrane time constant, above 0.
        dt: length of a timestep, in tau's units (the authors': 0.05).
        alpha: the part of the threshold at which it fires, in (0, 1] (the authors': 0.3).
        v_th: the threshold at the start (the authors': 0.3).
        v_th_min: what a training call raises the threshold to, where it has fallen below.
        surrogate: only its `strict` matters: there is no surrogate gradient.
        channels, engine: see SpikingNeuron; no fused engine.
    """

    year = 2022
    outputs = "scaled"
    states: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        T: int,
        tau: float = 1.0,
        dt: float = 1.0,
        alpha: float = 0.5,
        v_th: float = 1.0,
        v_th_min: float = 5e-4,
        surrogate: str | Mapping[str, Any] | Surrogate = "atan",
        channels: int | None = None,
        engine: str = "auto",
    ) -> None:
        super().__init__(v_th=v_th, v_reset=None, surrogate=surrogate, channels=channels, engine=engine)
        check_reference(self, "differentiated over all timesteps at once")
        self.T = count("neuron.T", T)
        self.tau = number("neuron.tau", tau, "(0, inf)")
        self.dt = number("neuron.dt", dt, "(0, inf)")
        self.alpha = number("neuron.alpha", alpha, "(0, 1]")
        self.v_th_min = number("neuron.v_th_min", v_th_min, "(0, inf)")
        self.threshold = nn.Parameter(torch.tensor(self.v_th))

    @property
    def not_fusable(self) -> str | None:
        return "a gradient over all timesteps at once has no step"

    @property
    def work(self) -> dict[str, int]:
        """beta v and (1 - beta) x, and one membrane."""
        return {"products": 2, "resets": 1, "reads": 1, "writes": 1}

    @property
    def weights(self) -> list[float]:
        """Of each timestep in the means over time; their own mean is 1."""
        found = [math.exp(-(self.T - t) * self.dt / self.tau) for t in range(1, self.T + 1)]
        return [w * self.T / sum(found) for w in found]

    def run(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        check_whole(self, x, state, self.T)
        if self.training:
            with torch.no_grad():
                self.threshold.clamp_(min=self.v_th_min)
        with torch.autocast(x.device.type, enabled=False):
            out = self._represented(x.to(torch.promote_types(x.dtype, torch.float32)))
        return out.to(x.dtype), {}

    def _represented(self, x: Tensor) -> Tensor:
        """The outputs, with the gradient of what they represent; of x, masks [B, ...] are kept for it."""
        weights = x.new_tensor(self.weights) / self.T
        with torch.no_grad():
            mean, most = torch.tensordot(weights, x, 1), self.threshold * (self.tau / self.dt)
            within, above = (mean > 0) & (mean < most), mean > most
            out = self.fire(x, self.threshold)
        stands = (
            torch.where(within, x.sum(0) / self.tau, 0.0) + torch.where(above, self.threshold, 0.0) * self.T * self.dt
        )
        return out + weights.view(-1, *[1] * (x.dim() - 1)) * (stands - stands.detach())  # of which the value is 0

    def fire(self, x: Tensor, threshold: Tensor) -> Tensor:
        """s threshold / dt of every timestep, as long as x lasts."""
        beta = math.exp(-self.dt / self.tau)
        v, found = torch.zeros_like(x[0]), []
        for current in x:
            v = beta * v + (1 - beta) * current
            s = self.spike(v - self.alpha * threshold)
            v = v - s * threshold
            found.append(s * (threshold / self.dt))
        return torch.stack(found)

    def extra_repr(self) -> str:
        own = f"T={self.T}, tau={self.tau:g}, dt={self.dt:g}, alpha={self.alpha:g}, v_th_min={self.v_th_min:g}"
        return f"{own}, {super().extra_repr()}"
