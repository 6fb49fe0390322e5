"""Splitting a data set by class."""

from __future__ import annotations

import torch
from torch import Tensor


def stratified_split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Split positions so that each class gives the same fraction, to the nearest sample, to the second part.

    Args:
        labels: int64 [N].
        fraction: Share of each class in the second part, in [0, 1].
        seed: Decides which samples; nothing else does.

    Returns:
        Positions of the first and of the second part, ascending; together 0..N-1, each once.
    """
    generator = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = (labels == label).nonzero().squeeze(1)
        count = round(fraction * len(members))
        held_out[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    return (~held_out).nonzero().squeeze(1), held_out.nonzero().squeeze(1)
