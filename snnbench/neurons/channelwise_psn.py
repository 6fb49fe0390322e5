"""The channel-wise PSN: a sliding PSN with a filter for each channel, which may skip timesteps, without products."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from snnbench.check import count, flag
from snnbench.errors import UserError
from snnbench.neurons.psn import SlidingPSN


class ChannelwisePSN(SlidingPSN):
    """Channel-wise parallel spiking neuron (Xue et al., NeurIPS 2025, arXiv 2501.14490, eq. 10 to 18, 26 to 28).

    h_t = sum_i W_i x_{t - (k-1-i) d} + b; s = H(h), with W [C, k] and b [C] of each channel; b starts at -v_th.

    With `membrane_norm`, b is the shift of a batch norm on the membrane, and W and b are those of filter and norm in
    one: W gamma / sigma and b - gamma mu / sigma, where mu and sigma are the membrane's over T, B and space in
    training, running statistics in evaluation. With `powers_of_two`, that W is rounded to sign(W) 2^round(log2 |W|), so
    that a shift multiplies ("mul-free"); its gradient passes through unchanged. The paper's results have both.

    Args:
        k: order: how many inputs one spike depends on, the present included.
        dilation: d, how many timesteps lie between two of them. Networks set one for each layer.
        powers_of_two: round the filter to powers of two.
        membrane_norm: normalise the membrane; needs `channels`.
        init: how each channel's filter starts, see SlidingPSN; uniform is what a depthwise convolution starts with.
        v_th: initial threshold.
        options: see PSN.
    """

    label = "channel-wise PSN"
    year = 2025

    def __init__(
        self,
        *,
        k: int,
        dilation: int = 1,
        powers_of_two: bool = False,
        membrane_norm: bool = False,
        init: str = "uniform",
        **options: Any,
    ) -> None:
        super().__init__(k=k, init=init, **options)
        self.dilation = count("neuron.dilation", dilation)
        self.powers_of_two = flag("neuron.powers_of_two", powers_of_two)
        if self.channels is not None:
            self.weight = nn.Parameter(self.weight.detach().repeat(self.channels, 1))
            if init == "uniform":
                nn.init.uniform_(self.weight, -(k**-0.5), k**-0.5)
            self.bias = nn.Parameter(self.bias.detach().repeat(self.channels))
        self.norm: nn.BatchNorm1d | None = None
        if flag("neuron.membrane_norm", membrane_norm):
            if self.channels is None:
                raise UserError("neuron.membrane_norm=true: needs the number of channels; this layer has none.")
            self.norm = nn.BatchNorm1d(self.channels)
            self.norm.bias = self.bias
            del self.bias

    @property
    def not_fusable(self) -> str | None:
        if self.norm is not None and self.training:
            return "membrane_norm takes its statistics over the batch and all timesteps"
        return super().not_fusable

    def fire(self, x: Tensor, weight: Tensor) -> Tensor:
        """Spikes [T, B, C, ...] of each channel's filter, weight [C, k], over x [reach + T, B, C, ...]."""
        bias: Tensor = self.bias if self.norm is None else self.norm.bias
        if self.norm is not None:
            mean, var = self._statistics(self._filtered(x, weight) if self.training else None)
            gain = self.norm.weight * torch.rsqrt(var + self.norm.eps)
            weight, bias = weight * gain[:, None], bias - gain * mean
        h = self._filtered(x, _power_of_two(weight) if self.powers_of_two else weight)
        spikes: Tensor = self.spike(h + bias.to(h.dtype).view(-1, *[1] * (h.dim() - 3)))
        return spikes

    def _filtered(self, x: Tensor, weight: Tensor) -> Tensor:
        """The membrane [T, B, C, ...], without its shift."""
        matrix = self.over_time(weight, len(x) - self.reach)
        shape = (matrix.shape[-2], *x.shape[1:])
        if weight.dim() == 1:
            return (matrix @ x.flatten(1)).view(shape)
        places = x.shape[3:].numel()
        return torch.einsum("ctk,kbcs->tbcs", matrix, x.reshape(*x.shape[:3], places)).reshape(shape)

    def _statistics(self, h: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and variance of each channel: of the membrane h, which the running ones take in, or the running ones."""
        assert self.norm is not None
        running = self.norm.get_buffer("running_mean"), self.norm.get_buffer("running_var")
        if h is None:
            return running
        var, mean = torch.var_mean(h, [d for d in range(h.dim()) if d != 2], correction=0)
        values = h.numel() // h.shape[2]
        with torch.no_grad():
            for kept, new in zip(running, (mean, var * (values / max(1, values - 1))), strict=True):
                kept.lerp_(new.to(kept.dtype), 0.1)
            self.norm.get_buffer("num_batches_tracked").add_(1)
        return mean, var

    def extra_repr(self) -> str:
        kind = "powers of two, " if self.powers_of_two else ""
        return f"{kind}dilation={self.dilation}, {super().extra_repr()}"


def _power_of_two(weight: Tensor) -> Tensor:
    """sign(w) 2^round(log2 |w|), 0 of 0; the gradient is that of w."""
    nearest = weight.sign() * weight.abs().log2().round().exp2()
    return nearest.detach() + (weight - weight.detach())
