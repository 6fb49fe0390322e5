"""Layers of a network's head, over [T, B, ...]: kinds of dropout, and voting."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from snnbench.backbones.layers import UnitFactory
from snnbench.check import flag, number


class Dropout(nn.Module):
    """Dropout over [T, B, ...], by default with one mask for all timesteps of a sample.

    A neuron that is dropped is then silent for the whole sequence. This is what SpikingJelly's layer does (PLIF and
    CLIF repositories, and AR-LIF's but on CIFAR10-DVS).

    Args:
        p: probability of dropping, in [0, 1).
        per_step: draw a mask for each timestep, as PyTorch's layer does over frames (PSN and AR-LIF on CIFAR10-DVS).
        key: what the config calls p.
    """

    def __init__(self, p: float, *, per_step: bool = False, key: str = "backbone.dropout") -> None:
        super().__init__()
        self.p = number(key, p, "[0, 1)")
        self.per_step = flag(f"{key}_per_step", per_step)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if self.per_step:
            return functional.dropout(x, self.p)
        return x * functional.dropout(torch.ones_like(x[0]), self.p)

    def extra_repr(self) -> str:
        return f"p={self.p:g}" + (", per_step=True" if self.per_step else "")


class ModerateDropout(nn.Module):
    """LTMD's dropout: of a layer's neurons, those that give most are kept most often, with one mask for all timesteps.

    With d the mean over time of each neuron's output, q = (d - min d) / (max d - min d), its extremes over neurons and
    samples, a neuron is kept with probability r = 1 - (1 - q) p / (1 - mean q), at least 0, and divided by r. The mean
    probability of dropping is p, as long as none would be above 1. As in the official code the gradient passes the
    division by r, too.

    Args:
        p: mean probability of dropping, in [0, 1).
        key: what the config calls p.
    """

    def __init__(self, p: float, *, key: str = "backbone.moderate_dropout") -> None:
        super().__init__()
        self.p = number(key, p, "[0, 1)")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = self.probability(x)
        mask = torch.bernoulli(kept.detach())
        return x * (mask / torch.where(kept > 0, kept, 1.0))

    def probability(self, x: Tensor) -> Tensor:
        """With which each neuron of x [T, B, F] is kept, [B, F]; where all give the same, 1 - p."""
        mean = x.mean(0)
        low, high = mean.min(), mean.max()
        q = (mean - low) / torch.where(high > low, high - low, 1.0)
        return (1 - (1 - q) * self.p / (1 - q.mean())).clamp(0, 1)

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


class OutputUnit(nn.Module):
    """A norm and a neuron layer behind the last linear layer, whose outputs are the logits: [T, B, classes] (DSR).

    Where the neuron weights timesteps (`weights`, as DSR does), so do the logits: their plain mean is the weighted one.
    """

    def __init__(self, classes: int, unit: UnitFactory) -> None:
        super().__init__()
        self.unit = unit(classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.unit(x)
        weights = getattr(self.unit.neuron, "weights", None)
        return out if weights is None else out * out.new_tensor(weights)[:, None, None]


class Voting(nn.Module):
    """The mean of each class's voters: [T, B, classes * voters] -> [T, B, classes] (PLIF)."""

    def __init__(self, voters: int) -> None:
        super().__init__()
        self.voters = voters

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.voters)).mean(-1)

    def extra_repr(self) -> str:
        return f"voters={self.voters}"
