"""Splitting a data set by class."""

from __future__ import annotations

import math

import torch
from torch import Tensor

CHOICES = ("random", "last")


def stratified_split(labels: Tensor, fraction: float, seed: int, choice: str = "random") -> tuple[Tensor, Tensor]:
    """Split positions so that each class gives the same fraction to the second part.

    Args:
        labels: int64 [N].
        fraction: Share of each class in the second part, in [0, 1].
        seed: Decides which samples of "random"; nothing else does.
        choice: One of CHOICES. "random": `fraction` of each class to the nearest sample, drawn. "last": all samples of
            a class but its first ceil((1 - fraction) n), in the order of `labels` (PLIF's validation set).

    Returns:
        Positions of the first and of the second part, ascending; together 0..N-1, each once.
    """
    generator = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = (labels == label).nonzero().squeeze(1)
        if choice == "last":
            held_out[members[math.ceil(len(members) * (1 - fraction)) :]] = True
            continue
        count = round(fraction * len(members))
        held_out[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    return (~held_out).nonzero().squeeze(1), held_out.nonzero().squeeze(1)


def spread(labels: Tensor, limit: int) -> Tensor:
    """Positions of `limit` samples of `labels` [N], ascending: the classes take turns, each with its first samples.

    Of a class that runs out the others take the turns; in the last round the lowest labels come first. So 25 of ten
    classes are the first three samples of classes 0 to 4, and the first two of classes 5 to 9.
    """
    order = torch.argsort(labels, stable=True)
    _, sizes = torch.unique_consecutive(labels[order], return_counts=True)
    starts = torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
    turn = torch.empty_like(order)
    turn[order] = torch.arange(len(order)) - starts
    ranked = order[torch.argsort(turn[order], stable=True)]  # by turn, then by label
    return ranked[:limit].sort().values
