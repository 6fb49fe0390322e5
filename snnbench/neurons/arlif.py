"""AR-LIF: a LIF neuron with an adaptive reset and an input-dependent threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.check import choice, flag, number
from snnbench.kernels import State
from snnbench.neurons.base import SpikingNeuron
from snnbench.neurons.surrogate import Surrogate

RESETS = ("adaptive", "soft", "hard")


class ARLIF(SpikingNeuron):
    """Adaptive-reset LIF (Huang et al., arXiv 2507.20746), as in the official code 2ephyrus/AR-LIF.

    With sigma the logistic function, in this order:

    1. v = leak v + x
    2. phi = tanh(a) tanh(x); s = H(v - v_th - phi)
    3. m = relu(m) sigma(c x) - relu(-m) (1 - sigma(c x))
    4. m = m + s sigma(x) - (1 - s) sigma(x)
    5. v = v - s (v_th + sigma(m) + phi)

    Per layer a learnable a (0 at the start) and c (1 at the start); the gradient flows through everything.

    The switches are for the paper's ablation; its code holds the complete neuron only, so what the others do to
    steps 2 and 5 is the obvious reading. A parameter that has no part in the output is None.

    Args:
        leak: fraction of the membrane that is kept, in [0, 1]; 0.5, but 0.2 on CIFAR10-DVS.
        v_th: firing threshold before adjustment.
        carry_memory: true, as described: m is a state. False, as the official CIFAR10-DVS code has it: m is 0
            before step 3 of every timestep, so that step does nothing and c has no part in the output.
        threshold_adjustment: false sets phi to 0 and removes a.
        reset: "adaptive" as in step 5; "soft" subtracts v_th + phi; "hard" sets v to 0. The last two have no m and c.
        surrogate, channels, engine: see SpikingNeuron.
    """

    label = "AR-LIF"
    year = 2025

    def __init__(
        self,
        *,
        leak: float = 0.5,
        v_th: float = 1.0,
        carry_memory: bool = True,
        threshold_adjustment: bool = True,
        reset: str = "adaptive",
        surrogate: str | Mapping[str, Any] | Surrogate = "rectangle",
        channels: int | None = None,
        engine: str = "auto",
    ) -> None:
        v_reset = 0.0 if reset == "hard" else None
        super().__init__(v_th=v_th, v_reset=v_reset, surrogate=surrogate, channels=channels, engine=engine)
        self.reset_by = choice("neuron.reset", reset, RESETS)
        self.leak = number("neuron.leak", leak, "[0, 1]")
        self.threshold_adjustment = flag("neuron.threshold_adjustment", threshold_adjustment)
        self.carry_memory = flag("neuron.carry_memory", carry_memory) and reset == "adaptive"
        self.states = ("v", "m") if self.carry_memory else ("v",)
        self.a = nn.Parameter(torch.tensor(0.0)) if self.threshold_adjustment else None
        self.c = nn.Parameter(torch.tensor(1.0)) if self.carry_memory else None

    def coefficients(self) -> dict[str, Tensor]:
        found = {}
        if self.a is not None:
            found["a"] = self.a.tanh()
        if self.c is not None:
            found["c"] = self.c
        return found

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
        v = state["v"] * self.leak + x
        phi = c["a"] * torch.tanh(x) if self.threshold_adjustment else None
        s = spike(v - self.v_th if phi is None else v - self.v_th - phi)
        if self.reset_by == "hard":
            return s, {"v": self.reset(v, s)}
        amount: Tensor | float = self.v_th
        memory = {}
        if self.reset_by == "adaptive":
            m = self._memory(x, state, c, s)
            amount = amount + torch.sigmoid(m)
            memory = {"m": m} if self.carry_memory else {}
        v = v - s * (amount if phi is None else amount + phi)
        return s, {"v": v, **memory}

    def _memory(self, x: Tensor, state: State, c: Mapping[str, Tensor], s: Tensor) -> Tensor:
        """Steps 3 and 4."""
        gain = torch.sigmoid(x)
        if not self.carry_memory:
            return s * gain - (1 - s) * gain
        m, keep = state["m"], torch.sigmoid(c["c"] * x)
        m = torch.relu(m) * keep - torch.relu(-m) * (1 - keep)
        return m + s * gain - (1 - s) * gain

    def extra_repr(self) -> str:
        own = f"leak={self.leak:g}, reset_by={self.reset_by}, carry_memory={self.carry_memory}"
        return f"{own}, threshold_adjustment={self.threshold_adjustment}, {super().extra_repr()}"
