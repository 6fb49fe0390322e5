"""Data of one's own, in classes that say nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from snnbench.data import ImageData
from snnbench.data.images.dataset import MemoryImages
from snnbench.data.images.sources import Source


class Npz(Source):
    """Says nothing of its data."""

    def prepare(self) -> None:
        pass

    def load(self) -> tuple[MemoryImages, MemoryImages]:
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (60, 8, 8, 1), dtype=torch.uint8, generator=generator)
        return MemoryImages(pixels[:40], torch.arange(40) % 10), MemoryImages(pixels[40:], torch.arange(20) % 10)


def custom(source: Callable[..., Source], root: Path, cls: type[ImageData] = ImageData, **options: object) -> ImageData:
    common = {"name": "mine", "in_channels": 1, "num_classes": 10, "image_size": 8, "batch_size": 4, "seed": 0}
    shape = {"eval_batch_size": 4, "mean": [0.5], "std": [0.5]}
    return cls(source=source, root=root, **{**common, **shape, **options})
