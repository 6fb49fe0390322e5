"""Image classification data: one module for every source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from snnbench.check import callables, count, numbers
from snnbench.data.augment import Augment, BatchTransform, augment_of
from snnbench.data.images.dataset import ImageDataset, Images
from snnbench.data.images.sources import Source
from snnbench.data.module import BenchData
from snnbench.errors import UserError


class ImageData(BenchData):
    """Images of one source, augmented and normalised. See `BenchData` for the other arguments.

    Args:
        source: Makes the source: `source(root, download=..., verify=...)`.
        root: Folder of all data sets.
        mean: Per channel, of pixels in [0, 1].
        std: Per channel.
        augment: What happens to training images; None: nothing.
        eval_transform: What brings an image to `image_size` for evaluation, PIL in and out.
        download: Try to fetch missing files.
        verify: Accept the published files only.
        limit: Use only the first `limit` samples of each part, for a quick look; such results are marked "subset".
    """

    def __init__(
        self,
        *,
        source: Callable[..., Source],
        root: str | Path,
        mean: Sequence[float],
        std: Sequence[float],
        augment: Augment | None = None,
        eval_transform: Sequence[Callable[[Any], Any]] = (),
        download: bool = True,
        verify: bool = True,
        limit: int | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.source = source(root, download=download, verify=verify)
        hint = "One for each of data.in_channels."
        self.mean = numbers("data.mean", mean, length=self.in_channels, hint=hint)
        self.std = numbers("data.std", std, "(0, inf)", length=self.in_channels, hint=hint)
        self.eval_transform = callables("data.eval_transform", eval_transform)
        self.augment = augment_of(augment)
        if self.augment.batch:
            self.batch_transform = BatchTransform(self.augment.batch, self.num_classes)
        self.limit = count("data.limit", limit, also=(None,))
        self.provenance = self.source.provenance if limit is None else "subset"
        self.split = self.source.split + self.held_out

    def prepare_data(self) -> None:
        self.source.prepare()

    def load(self) -> tuple[ImageDataset, dict[str, ImageDataset]]:
        train_images, test_images = self.source.load()
        positions, held_out = self.hold_out(train_images.labels)
        random = bool(self.augment.sample or self.augment.normalized)
        train = ImageDataset(
            train_images,
            positions[: self.limit],
            mean=self.mean,
            std=self.std,
            transforms=self.augment.sample or self.eval_transform,
            normalized=self.augment.normalized,
            seed=self.seed if random else None,
        )
        evals = {"test": self._eval_set(test_images, torch.arange(len(test_images.labels)))}
        if self.val_fraction:
            evals["val"] = self._eval_set(train_images, held_out)
        with torch.random.fork_rng(devices=[]):
            for name, samples in {"train": train, **evals}.items():
                self._check_samples(name, samples)
        return train, evals

    def _eval_set(self, images: Images, positions: torch.Tensor) -> ImageDataset:
        return ImageDataset(
            images, positions[: self.limit], mean=self.mean, std=self.std, transforms=self.eval_transform
        )

    def _check_samples(self, name: str, samples: ImageDataset) -> None:
        if not len(samples):
            raise UserError(f"data={self.name}: the {name} part is empty.")
        shape, expected = tuple(samples[0][0].shape), (self.in_channels, self.image_size, self.image_size)
        if shape != expected:
            raise UserError(
                f"data.image_size={self.image_size}, data.in_channels={self.in_channels}: {name} images come out as "
                f"{shape} with augment={self.augment.name}; set both, and the augmentation's sizes, to match."
            )
        highest = int(samples.labels.max())
        if highest >= self.num_classes:
            raise UserError(f"data.num_classes={self.num_classes}: the {name} labels go up to {highest}.")
