"""Batches straight from a packed cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from snnbench.data.events.cache import Pack
from snnbench.data.sampler import Key


class ClipDataset(Dataset[Any]):
    """Samples of a pack: counts [B, T, 2, H, W] as stored (uint8 unless a count is larger), y int64 [B].

    Where clips will be augmented, a batch has a third part: for each clip the key that its random numbers follow from.

    Args:
        pack: Where they come from.
        positions: Which of them belong to this data set.
        keyed: Hand over the keys.
    """

    batched = True  # read in the training process: workers would only carry batches over

    def __init__(self, pack: Pack, positions: NDArray[np.int64], *, keyed: bool = False) -> None:
        self.pack, self.positions, self.keyed = pack, positions, keyed
        self.labels = torch.from_numpy(pack.labels[positions])

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Any:
        counts, labels, *keys = self.__getitems__([(0, index)])
        return counts[0], labels[0], *keys

    def __getitems__(self, keys: Sequence[Key]) -> Any:
        indices = [index for _, index in keys]
        positions = self.positions[indices]
        counts = torch.from_numpy(self.pack.frames[positions])
        if not self.keyed:
            return counts, self.labels[indices]
        return counts, self.labels[indices], [(draw, int(p)) for (draw, _), p in zip(keys, positions, strict=True)]
