"""Neurons that may fire on their batch-normalised membrane (MPBN)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.check import flag
from snnbench.errors import UserError
from snnbench.neurons.base import SpikingNeuron


class MembraneNormed(SpikingNeuron):
    """A base for neurons whose step fires on `self.fired_on(h, c)` (Guo et al., ICCV 2023, arXiv 2308.08359).

    Args:
        membrane_norm: fire on BatchNorm(h) instead of h, with the statistics of one timestep at a time and one set of
            running statistics for all, as the code of MPBN and yukairong/snn has it. The reset acts on h. Needs
            `channels` and x of [T, B, C] or [T, B, C, H, W].
        options: the arguments of SpikingNeuron.
    """

    def __init__(self, *, membrane_norm: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.norm: nn.BatchNorm1d | None = None
        if flag("neuron.membrane_norm", membrane_norm):
            if self.channels is None:
                raise UserError("neuron.membrane_norm=true: needs the number of channels; this layer has none.")
            self.norm = nn.BatchNorm1d(self.channels)

    @property
    def not_fusable(self) -> str | None:
        if self.norm is not None and self.training:
            return "membrane_norm takes its statistics over the batch in the middle of a timestep"
        return None

    def coefficients(self) -> dict[str, Tensor]:
        """In evaluation the norm's two numbers of each channel."""
        if self.norm is None or self.training:
            return {}
        gain = self.norm.weight * torch.rsqrt(self.norm.get_buffer("running_var") + self.norm.eps)
        return {"gain": gain, "offset": self.norm.bias - self.norm.get_buffer("running_mean") * gain}

    def fired_on(self, h: Tensor, c: Mapping[str, Tensor]) -> Tensor:
        """What is held against the threshold, [B, C, ...]: h, or the normalised h."""
        if self.norm is None:
            return h
        if not self.training:
            return h * c["gain"] + c["offset"]
        return self.norm(h.flatten(2) if h.dim() > 2 else h).view_as(h)
