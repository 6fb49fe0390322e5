"""Which samples make up which batch, and the random numbers each sample sees.

Nothing here carries state from one epoch to the next: order and augmentation follow from (seed, epoch) alone,
so a resumed run, another number of workers and another number of devices see the same data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.utils.data import Sampler

from snnbench.seeding import mix

Key = tuple[int, int]
"""(draw, index): the sample's position in its data set, and which of its augmented versions is wanted."""


class TrainBatches(Sampler[list[Key]]):
    """Batches of one training epoch, as lists of (draw, index).

    The epoch is asked for when iteration starts, never earlier: persistent workers prefetch. Device `rank` of `world`
    gets its slice of each global batch, so the global batches do not depend on the number of devices. A last batch
    that the devices cannot share evenly is filled up from the epoch's first samples; on one device it is just shorter.

    Args:
        size: Number of samples N.
        batch_size: Global batch size B; divisible by `world`.
        seed: With the epoch, decides the order.
        epoch_of: Tells the current epoch.
        repeats: Each drawn sample appears this often (repeated augmentation, arXiv 1902.05509), each time with its own
            augmentation; an epoch still has N samples, so it draws N / repeats different ones.
        drop_last: Leave out a last batch smaller than B.
        rank: This device.
        world: Number of devices.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        seed: int,
        epoch_of: Callable[[], int] = lambda: 0,
        repeats: int = 1,
        drop_last: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.epoch_of, self.repeats, self.drop_last = epoch_of, repeats, drop_last
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        return self.size // self.batch_size if self.drop_last else -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch = self.epoch_of()
        generator = torch.Generator().manual_seed(mix(self.seed, epoch))
        order = torch.randperm(self.size, generator=generator)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            places = torch.arange(start, min(start + self.batch_size, self.size))
            # Copies of one sample lie apart: MixUp and CutMix pair each sample with its neighbour.
            places = torch.cat([places[copy :: self.repeats] for copy in range(self.repeats)])
            places = torch.cat([places, torch.arange(-len(places) % self.world)])
            places = places.chunk(self.world)[self.rank]
            draws = epoch * self.repeats + places % self.repeats
            yield list(zip(draws.tolist(), order[places // self.repeats].tolist(), strict=True))


class EvalBatches(Sampler[list[Key]]):
    """All samples in order, each on exactly one device: the devices' shares may differ by one sample."""

    def __init__(self, size: int, batch_size: int, *, rank: int = 0, world: int = 1) -> None:
        self.share = range(rank, size, world)
        self.batch_size = -(-batch_size // world)

    def __len__(self) -> int:
        return -(-len(self.share) // self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        for start in range(0, len(self.share), self.batch_size):
            yield [(0, index) for index in self.share[start : start + self.batch_size]]
