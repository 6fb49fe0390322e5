"""MPD-AGL: a PLIF neuron whose surrogate is as wide as the membrane potentials are expected to spread."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.check import number
from snnbench.errors import UserError
from snnbench.kernels import State
from snnbench.neurons.base import SpikingNeuron
from snnbench.neurons.surrogate import Rectangle, Surrogate

NARROWEST = 1e-6  # a width must be above 0, a norm's mean weight need not be


class MPDAGL(SpikingNeuron):
    """Adaptive gradient learning from membrane potential dynamics (Jiang et al., IJCAI 2025; Stay-Sane/MPD-AGL).

    h = sigma(w) v + x; s = H(h - v_th); v = reset(h, s). The surrogate's derivative g is stretched to the width

        2 gamma v_th in the first timestep, 2 gamma v_th sqrt(1 + sigma(w)^2) in all later ones,

    ds/dh = g((h - v_th) / width) / width, where gamma is the mean weight of the norm that the neuron follows: with tdBN
    its input has about the standard deviation gamma v_th. The width itself gets no gradient, and is 1 without a norm.

    Args:
        tau: initial value of 1 / sigma(w), above 1. One w per layer.
        v_th, surrogate: see SpikingNeuron; the official code has 0.5, and a rectangle of width 1.
        options: the other arguments of SpikingNeuron.
    """

    label = "MPD-AGL"
    year = 2025
    states = ("v", "later")

    def __init__(
        self,
        *,
        tau: float = 5.0,
        v_th: float = 0.5,
        surrogate: str | Mapping[str, Any] | Surrogate = Rectangle(),  # noqa: B008  frozen
        **options: Any,
    ) -> None:
        super().__init__(v_th=v_th, surrogate=surrogate, **options)
        self.tau = number("neuron.tau", tau, "(1, inf)")
        self.w = nn.Parameter(torch.tensor(-math.log(self.tau - 1)))
        self._norm: tuple[nn.Module, ...] = ()  # no submodule: it belongs to the unit
        self._weight = ""

    def follow(self, norm: nn.Module) -> None:
        named = [name for name, _ in norm.named_parameters() if name in ("bn.weight", "weight")]
        if not named:
            raise UserError(
                f"neuron=mpdagl: reads the mean weight of the norm before it, and {type(norm).__name__} has no weight."
            )
        self._norm, self._weight = (norm,), named[0]

    def coefficients(self) -> dict[str, Tensor]:
        keep = self.w.sigmoid()
        fixed = keep.detach()
        first = torch.ones_like(fixed)
        for norm in self._norm:
            first = 2 * self.v_th * norm.get_parameter(self._weight).detach().mean().clamp(min=NARROWEST)
        later = first * torch.sqrt(1 + fixed * fixed) if self._norm else first
        return {"keep": keep, "first": first, "grows": later - first}

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
        h = c["keep"] * state["v"] + x
        u = h - self.v_th
        if self.training:  # a width above 0 changes no spike
            u = u / (c["first"] + state["later"] * c["grows"])
        s = spike(u)
        return s, {"v": self.reset(h, s), "later": torch.ones_like(x)}

    def extra_repr(self) -> str:
        return f"tau={self.tau:g} at the start, {super().extra_repr()}"
