"""TAB: batch normalisation by what has been seen up to each timestep."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from snnbench.backbones.norms import BatchNorm
from snnbench.check import count


class TemporalAccumulatedNorm(nn.Module):
    """Temporal accumulated batch normalisation (TAB; Jiang et al., ICLR 2024; HaiyanJiang/SNN-TAB [code]).

    y_t = p_t^2 (weight_t (x_t - mean_t) / std_t + bias_t): mean and standard deviation are over the timesteps up to t,
    B and space. Each timestep has a norm of its own, with its running statistics, and a learnt number p_t that starts
    at 1.

    Args:
        channels, eps, momentum, count_repeats, gain: see BatchNorm.
        T: number of timesteps.
    """

    def __init__(
        self,
        channels: int,
        *,
        T: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        count_repeats: bool = True,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        make = partial(BatchNorm, channels, eps=eps, momentum=momentum, count_repeats=count_repeats, gain=gain)
        self.norms = nn.ModuleList(make() for _ in range(count("norm.T", T)))
        self.p = nn.Parameter(torch.ones(len(self.norms)))

    def forward(self, x: Tensor, repeats: int = 1) -> Tensor:
        """Normalise x.

        Args:
            x: [T, B, C, H, W] or [T, B, C]; one frame where repeats = T.
            repeats: how many equal frames that one stands for.

        Returns:
            [T, B, C, ...]: timesteps differ also where the frames do not.

        Raises:
            ValueError: x has another number of dimensions, or another T.
        """
        frames = x.shape[0] * repeats
        if frames != len(self.norms):
            raise ValueError(f"norm=tab is made for {len(self.norms)} timesteps, and got {frames}")
        found = [self._at(t, x, repeats) * p.square() for t, p in enumerate(self.p)]
        return torch.cat(found)

    def _at(self, t: int, x: Tensor, repeats: int) -> Tensor:
        """Timestep t, [1, B, C, ...]."""
        norm = self.norms[t]
        if repeats > 1:
            return norm(x, t + 1)
        return norm(x[: t + 1])[t:] if self.training else norm(x[t : t + 1])

    def extra_repr(self) -> str:
        return f"T={len(self.norms)}"
