"""Image classification data: one module for every source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from snnbench.check import callables, count, numbers
from snnbench.data.augment import Augment, BatchTransform, augment_of
from snnbench.data.fingerprint import of_files, of_images
from snnbench.data.images.dataset import ImageDataset, Images
from snnbench.data.images.sources import Source
from snnbench.data.module import BenchData
from snnbench.data.splits import spread
from snnbench.errors import UserError
from snnbench.runs.fingerprint import Files, Fingerprint


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
        verify: Accept the published files only; "full" reads each of them once more.
        limit: Use only `limit` samples of each part, classes taking turns (`snnbench.data.splits.spread`); such results
            are marked "subset".
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
        verify: bool | str = True,
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
        self.batch_transform = BatchTransform.of(self.augment, self.num_classes, lambda: self.epoch_of())
        self.limit = count("data.limit", limit, also=(None,))
        self.split = self.source.split + self.held_out
        self._images: tuple[Images, Images] | None = None
        self._files: Files | None = None

    @property
    def provenance(self) -> str:  # type: ignore[override]
        """What the source proves, of all published images; a subclass has to prove its own."""
        if self.limit is not None or self._fewer:
            return "subset"
        return self.source.provenance if type(self) is ImageData else "unverified"

    @property
    def doubt(self) -> str:
        if self.limit is not None:
            return f"data.limit={self.limit}"
        return self.source.doubt or self._fewer if type(self) is ImageData else super().doubt

    @property
    def _fewer(self) -> str:
        """In what the images are fewer than those that a source claims to be the published ones."""
        published = self.source.published if self.source.provenance == "real" else {}
        found = dict(zip(("train", "test"), (len(images.labels) for images in self._images or ()), strict=False))
        fewer = [f"{found[name]} of {n} {name} images" for name, n in published.items() if found.get(name, n) < n]
        return ", ".join(fewer)

    def prepare_data(self) -> None:
        self.source.prepare()

    def files(self) -> Files:
        """Those of the source, if it tells them; else what stands for them are the images themselves."""
        if self._files is None:
            found = self.source.files()
            if found is None and self._images is None:
                self.setup()
            files = of_files(*found, again=self.source.verify == "full") if found else of_images(*self._images or ())
            self._files = {**files, "published": self.source.provenance == "real"}
        return self._files

    def fingerprint(self) -> Fingerprint:
        return {**super().fingerprint(), "source": type(self.source).__name__}

    def load(self) -> tuple[ImageDataset, dict[str, ImageDataset]]:
        train_images, test_images = self._images = self.source.load()
        positions, held_out = self.hold_out(train_images.labels)
        random = bool(self.augment.sample or self.augment.normalized)
        train = ImageDataset(
            train_images,
            self._limited(train_images, positions),
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
        chosen = self._limited(images, positions)
        return ImageDataset(images, chosen, mean=self.mean, std=self.std, transforms=self.eval_transform)

    def _limited(self, images: Images, positions: torch.Tensor) -> torch.Tensor:
        return positions if self.limit is None else positions[spread(images.labels[positions], self.limit)]

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
