"""LTMD's neurons: a LIF neuron that learns its threshold, and one that hands on its membrane where it fires."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.check import number
from snnbench.kernels import State
from snnbench.neurons.base import SpikingNeuron
from snnbench.neurons.surrogate import Rectangle, Surrogate


class LTLIF(SpikingNeuron):
    """LIF with a learnable threshold (Wang, Cheng and Lim, NeurIPS 2022; sq117/LTMD).

    h = leak v + x; s = H(h - tanh(w)); v = h (1 - s) + v_reset s, or, soft, h - s tanh(w). One w per layer. The
    threshold is tanh(w), so below 1; where w is learned down to 0 or below, nothing else keeps it up.

    Args:
        w: its initial value, above 0.
        leak: fraction of the membrane that is kept, in [0, 1].
        v_reset: value after a spike, below tanh(w) at the start; null is the soft reset.
        surrogate: see SpikingNeuron; the official code has a rectangle of width 1, and fires above the threshold alone.
        detach_reset, channels, engine: see SpikingNeuron.
    """

    label = "LT-LIF"
    year = 2022

    def __init__(
        self,
        *,
        w: float = 0.5,
        leak: float = 0.25,
        v_reset: float | None = 0.0,
        surrogate: str | Mapping[str, Any] | Surrogate = Rectangle(strict=True),  # noqa: B008  frozen
        detach_reset: bool = False,
        channels: int | None = None,
        engine: str = "auto",
    ) -> None:
        start = math.tanh(number("neuron.w", w, "(0, inf)"))
        super().__init__(
            v_th=start, v_reset=v_reset, detach_reset=detach_reset,
            surrogate=surrogate, channels=channels, engine=engine,
        )  # fmt: skip
        self.leak = number("neuron.leak", leak, "[0, 1]")
        self.w = nn.Parameter(torch.tensor(float(w)))

    def coefficients(self) -> dict[str, Tensor]:
        return {"threshold": self.w.tanh()}

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
        h = self.leak * state["v"] + x
        s = spike(h - c["threshold"])
        return s, {"v": self.reset(h, s, c["threshold"])}

    def extra_repr(self) -> str:
        return f"leak={self.leak:g}, {super().extra_repr()}"


class GradedLIF(SpikingNeuron):
    """LIF that hands on its membrane, not a spike, where it fires: the head's neuron in sq117/LTMD.

    h = leak v + x; f = H(h - v_th); o = f h; v = h (1 - f) + v_reset f, or, soft, h - f v_th. As in that code the
    gradient passes o as if it were h wherever h >= v_th - below, else not at all, and none passes f.

    Args:
        leak: fraction of the membrane that is kept, in [0, 1].
        v_th: firing threshold, above 0; that code has tanh(0.5), a parameter that gets no gradient.
        below: how far under the threshold the gradient still passes, at least 0.
        surrogate: see SpikingNeuron; of it only `strict` is used.
        v_reset, channels, engine: see SpikingNeuron. The reset is always detached.
    """

    label = "graded LIF"
    year = 2022
    outputs = "graded"

    def __init__(
        self,
        *,
        leak: float = 0.25,
        v_th: float = math.tanh(0.5),
        below: float = 0.5,
        v_reset: float | None = 0.0,
        surrogate: str | Mapping[str, Any] | Surrogate = Rectangle(strict=True),  # noqa: B008  frozen
        channels: int | None = None,
        engine: str = "auto",
    ) -> None:
        super().__init__(
            v_th=v_th, v_reset=v_reset, detach_reset=True, surrogate=surrogate, channels=channels, engine=engine
        )
        self.leak = number("neuron.leak", leak, "[0, 1]")
        self.below = number("neuron.below", below, "[0, inf)")

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
        h = self.leak * state["v"] + x
        u = h - self.v_th
        fired = spike(u).detach()
        passed = h * (u >= -self.below).to(h.dtype)
        output = passed + (fired * h - passed).detach()  # exact: passed is h wherever it fired
        return output, {"v": self.reset(h, fired)}

    def extra_repr(self) -> str:
        return f"leak={self.leak:g}, below={self.below:g}, {super().extra_repr()}"
