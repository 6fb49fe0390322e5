"""Attention between a norm and its neuron: what scales the neuron's input by timestep and by place."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from snnbench.check import choice

AttentionFactory = Callable[[int], nn.Module | None]
SIDE = 7  # of a filter: there are as many frequencies in either direction


class FSTA(nn.Module):
    """Frequency-based spatial-temporal attention (Yu et al., AAAI 2025; yukairong/FSTA-SNN, DCTSA).

    With m_t the channels' means and maxima over space, weighted and added, x'_t = x_t (1 + sigma(mean_c (W m)_t)); with
    D the 49 filters of the 7x7 discrete cosine transform, applied to the mean over time of the sum over channels,
    x'' = x' (1 + sigma(K * D)), where K is a 7x7 convolution to one map. It gives (a x' + b x'') / 2. The filters are
    constants; counted operations leave them out.

    Args:
        channels: not used, as every channel is scaled alike.
        T: number of timesteps; W is T x T.
    """

    filters: Tensor

    def __init__(self, channels: int, *, T: int) -> None:
        super().__init__()
        self.time = nn.Linear(T, T, bias=False)
        self.space = nn.Conv2d(SIDE**2, 1, SIDE, padding=SIDE // 2, bias=False)
        self.of_mean = nn.Parameter(torch.tensor([0.5]))
        self.of_max = nn.Parameter(torch.tensor([0.5]))
        self.of_time = nn.Parameter(torch.tensor([0.6]))
        self.of_space = nn.Parameter(torch.tensor([0.5]))
        self.register_buffer("filters", cosine_filters(SIDE), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [T, B, C, H, W], scaled."""
        frames = x.flatten(0, 1)
        largest = functional.adaptive_max_pool2d(frames, 1).view(x.shape[:3])
        pooled = self.of_mean * x.mean((-2, -1)) + self.of_max * largest
        by_time = self.time(pooled.movedim(0, -1)).mean(1).sigmoid().t()  # [T, B]
        x = x + x * by_time[..., None, None, None]
        maps = functional.conv2d(x.mean(0).sum(1, keepdim=True), self.filters.to(x.dtype), padding=SIDE // 2)
        by_place = self.space(maps).sigmoid()  # [B, 1, H, W]
        return (x * self.of_time + (x + x * by_place) * self.of_space) / 2


def cosine_filters(n: int) -> Tensor:
    """The n^2 orthonormal filters [n^2, 1, n, n] of the discrete cosine transform, the vertical frequency fastest.

    In the digits that the authors' table has: four decimals, or five digits where a filter has zeros.
    """
    waves = [[math.cos(math.pi * (2 * i + 1) * u / (2 * n)) * math.sqrt(2 / n) for i in range(n)] for u in range(n)]
    waves[0] = [math.sqrt(1 / n)] * n
    found = torch.zeros(n * n, 1, n, n)
    for across, row in enumerate(waves):
        for down, column in enumerate(waves):
            values = [[a * b for b in row] for a in column]
            zeros = any(abs(value) < 1e-9 for line in values for value in line)
            digits = [[float(f"{value:.4e}") if zeros else round(value, 4) for value in line] for line in values]
            found[across * n + down, 0] = torch.tensor(digits)
    return found


ATTENTIONS: dict[str, Callable[..., nn.Module]] = {"fsta": FSTA}


def attention_factory(name: str | None, T: int) -> AttentionFactory:
    """What makes the attention for a number of channels; it makes None where there is none."""
    if name is None:
        return lambda channels: None
    return partial(ATTENTIONS[choice("backbone.attention", name, ATTENTIONS)], T=T)
