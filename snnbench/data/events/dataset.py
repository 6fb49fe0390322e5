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
from snnbench.seeding import mix_each


class ClipDataset(Dataset[Any]):
    """Samples of a pack: counts [B, frames, 2, H, W] as stored (uint8 unless a count is larger), y int64 [B].

    Where clips will be augmented, a batch has a third part: for each clip the key that its random numbers follow from.

    Args:
        pack: Where they come from.
        positions: Which of them belong to this data set.
        keyed: Hand over the keys.
        drawn: Where a recording has several clips, hand over one of them, which follows from this seed and the key;
            None: all, one after the other.
    """

    batched = True  # read in the training process: workers would only carry batches over

    def __init__(
        self, pack: Pack, positions: NDArray[np.int64], *, keyed: bool = False, drawn: int | None = None
    ) -> None:
        self.pack, self.positions, self.keyed, self.drawn = pack, positions, keyed, drawn
        self.labels = torch.from_numpy(pack.labels[positions])

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Any:
        counts, labels, *keys = self.__getitems__([(0, index)])
        return counts[0], labels[0], *keys

    def __getitems__(self, keys: Sequence[Key]) -> Any:
        indices = [index for _, index in keys]
        positions = self.positions[indices]
        counts = torch.from_numpy(self._frames(positions, np.array([draw for draw, _ in keys])))
        if not self.keyed:
            return counts, self.labels[indices]
        return counts, self.labels[indices], [(draw, int(p)) for (draw, _), p in zip(keys, positions, strict=True)]

    def _frames(self, positions: NDArray[np.int64], draws: NDArray[np.int64]) -> NDArray[np.unsignedinteger]:
        if self.drawn is None or self.pack.clips == 1:
            return self.pack.frames[positions]
        clips = self.pack.frames.reshape(len(self.pack), self.pack.clips, -1, *self.pack.frames.shape[2:])
        return clips[positions, mix_each(self.drawn, draws, positions) % np.uint64(self.pack.clips)]
