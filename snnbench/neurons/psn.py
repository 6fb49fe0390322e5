"""The PSN family: neurons without reset, whose membrane is a matrix product over time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.check import choice, count, number
from snnbench.kernels import State
from snnbench.kernels.cell import check_call
from snnbench.neurons.base import SpikingNeuron, check_reference, check_whole
from snnbench.neurons.surrogate import Surrogate


class ParallelNeuron(SpikingNeuron):
    """What the three share: s = H(W x + b) over the time axis, in float32 or wider also under autocast.

    There is no step and no state, so the fused engines have nothing to run: engine is "auto" or "reference".
    """

    states: tuple[str, ...] = ()
    bias: nn.Parameter

    def __init__(
        self,
        *,
        v_th: float = 1.0,
        surrogate: str | Mapping[str, Any] | Surrogate = "atan",
        channels: int | None = None,
        engine: str = "auto",
    ) -> None:
        super().__init__(v_th=v_th, v_reset=None, surrogate=surrogate, channels=channels, engine=engine)
        check_reference(self, "a matrix product over time")

    @property
    def not_fusable(self) -> str | None:
        return "a matrix product over time has no step"

    @property
    def work(self) -> dict[str, int]:
        """It multiplies as many stored inputs as its weights span timesteps, and has no reset."""
        span = self.get_parameter("weight").shape[-1]
        return {"products": span, "resets": 0, "reads": span, "writes": 1}

    def fire(self, x: Tensor, weight: Tensor) -> Tensor:
        """Spikes [T, B, ...] of H(weight @ x + bias), in x's layout; x [K, B, ...], weight [T, K]."""
        x = x.to(weight.dtype)
        last = x.dim() == 5 and x.movedim(2, -1).is_contiguous()
        frames = x.movedim(2, -1) if last else x  # as they lie in memory, so that nothing is copied
        h = torch.addmm(self.bias.to(weight.dtype), weight, frames.flatten(1))
        spikes: Tensor = self.spike(h).view(weight.shape[0], *frames.shape[1:])
        return spikes.movedim(-1, 2) if last else spikes

    def extra_repr(self) -> str:
        return f"surrogate={self.spike}, engine={self.engine}"


class PSN(ParallelNeuron):
    """Parallel spiking neuron (Fang et al., NeurIPS 2023, arXiv 2304.12760).  h = W x + b; s = H(h).

    W [T, T] is learnable over all pairs of timesteps, the future included; b [T, 1] is minus the threshold. It sees
    the whole sequence at once and takes no state. W starts Kaiming-uniform (a = sqrt 5), b at -v_th.

    Args:
        T: number of timesteps.
        v_th: initial threshold.
        surrogate, channels, engine: see SpikingNeuron; no fused engine.
    """

    year = 2023

    def __init__(self, *, T: int, **options: Any) -> None:
        super().__init__(**options)
        self.T = count("neuron.T", T)
        self.weight = nn.Parameter(torch.empty(T, T))
        self.bias = nn.Parameter(torch.full((T, 1), -self.v_th))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def time_weight(self) -> Tensor:
        """The [T, T] matrix in effect."""
        return self.weight

    def run(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        check_whole(self, x, state, self.T)
        with torch.autocast(x.device.type, enabled=False):
            weight = self.time_weight().to(torch.promote_types(x.dtype, torch.float32))
            return self.fire(x, weight).to(x.dtype), {}

    def extra_repr(self) -> str:
        return f"T={self.T}, {super().extra_repr()}"


class MaskedPSN(PSN):
    """PSN whose matrix becomes causal and banded in the course of training: timestep t sees t-k+1 ... t.

    W' = W ((1 - lambda) + lambda band), where band is 1 on the diagonal and the k-1 diagonals below it. lambda rises
    with training (`set_progress`): min(1, lambda_rate epoch / (epochs - 1)). It is a buffer, so that checkpoints carry
    it.

    Args:
        T: number of timesteps.
        k: order: how many timesteps one spike depends on, itself included. k >= T keeps all of the past.
        lambda_init: lambda of a network that was never trained, in [0, 1]; the first epoch sets it to 0.
        lambda_rate: how many times faster than the epochs lambda rises, at least 1. With 8, as in the authors' script
            for sequential CIFAR, the mask is complete after an eighth of them.
        options: see PSN.
    """

    label = "masked PSN"
    year = 2023
    progress: Tensor
    band: Tensor

    def __init__(self, *, T: int, k: int, lambda_init: float = 0.0, lambda_rate: float = 1.0, **options: Any) -> None:
        super().__init__(T=T, **options)
        self.k = count("neuron.k", k)
        self.lambda_rate = number("neuron.lambda_rate", lambda_rate, "[1, inf)")
        self.register_buffer("progress", torch.tensor(number("neuron.lambda_init", lambda_init, "[0, 1]")))
        ones = torch.ones(T, T)
        self.register_buffer("band", ones.tril() * ones.triu(1 - self.k), persistent=False)

    def time_weight(self) -> Tensor:
        return self.weight * ((1 - self.progress) + self.progress * self.band)

    def set_progress(self, fraction: float) -> None:
        self.progress.fill_(min(1.0, self.lambda_rate * number("neuron.progress", fraction, "[0, 1]")))

    def extra_repr(self) -> str:
        return f"k={self.k}, lambda_rate={self.lambda_rate:g}, {super().extra_repr()}"


class SlidingPSN(ParallelNeuron):
    """PSN with one causal filter for all timesteps:  h_t = sum_i W_i x_{t-k+1+i} + b; s = H(h).

    W [k] starts at 2^(i-k+1), so the present counts 1 and each timestep back half of the next; b [] at -v_th.
    Runs over any T. It streams: the state is the last k-1 inputs, "x" [k-1, B, ...], zeros at the start.

    Args:
        k: order: how many timesteps one spike depends on, itself included.
        init: "exponential" as above (SpikingJelly's default), or "uniform": between -1 and 1 over sqrt k (the authors'
            code without -exp-init, as in its command for sequential CIFAR).
        v_th: initial threshold.
        options: see PSN.
    """

    label = "sliding PSN"
    year = 2023
    dilation: int = 1

    def __init__(self, *, k: int, init: str = "exponential", **options: Any) -> None:
        super().__init__(**options)
        self.k = count("neuron.k", k)
        self.init = choice("neuron.init", init, ("exponential", "uniform"))
        self.weight = nn.Parameter(2.0 ** torch.arange(1 - k, 1, dtype=torch.float32))
        if init == "uniform":
            nn.init.uniform_(self.weight, -(k**-0.5), k**-0.5)
        self.bias = nn.Parameter(torch.tensor(-self.v_th))

    @property
    def reach(self) -> int:
        """How many timesteps lie between the oldest input that a spike depends on and the spike."""
        return (self.k - 1) * self.dilation

    def run(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        check_call(self, x, None, {"weight": self.weight[..., 0]})
        past = self._past(x, state)
        with torch.autocast(x.device.type, enabled=False):
            seen = torch.cat([past, x.to(past.dtype)])
            spikes = self.fire(seen, self.weight.to(past.dtype))
        return spikes.to(x.dtype), {"x": seen[x.shape[0] :]}

    def fire(self, x: Tensor, weight: Tensor) -> Tensor:
        """Spikes [T, B, ...] of the filter weight [k] over x [reach + T, B, ...]."""
        return super().fire(x, self.over_time(weight, len(x) - self.reach))

    def over_time(self, weight: Tensor, T: int) -> Tensor:
        """The filter [..., k] as a matrix [..., T, reach + T], whose row t holds it where timestep t looks."""
        lag = torch.arange(self.reach + T, device=weight.device) - torch.arange(T, device=weight.device)[:, None]
        inside = (lag >= 0) & (lag <= self.reach) & (lag % self.dilation == 0)
        return weight[..., (lag // self.dilation).clamp(0, self.k - 1)] * inside

    def _past(self, x: Tensor, state: State | None) -> Tensor:
        """The inputs before x that its first spikes depend on."""
        shape, dtype = (self.reach, *x.shape[1:]), torch.promote_types(x.dtype, torch.float32)
        if state is None:
            return x.new_zeros(shape, dtype=dtype)
        if set(state) != {"x"} or state["x"].shape != shape:
            got = {key: list(value.shape) for key, value in state.items()}
            name = type(self).__name__
            raise ValueError(f"{name} takes the state {{'x': {list(shape)}}}, its last {self.reach} inputs; got {got}")
        return state["x"].to(dtype)

    def extra_repr(self) -> str:
        return f"k={self.k}, {super().extra_repr()}"
