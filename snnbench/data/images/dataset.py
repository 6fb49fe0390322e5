"""Images in memory or in folders, and the data set that turns them into normalised batches."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from snnbench.data.sampler import Key
from snnbench.data.tree import spelt
from snnbench.errors import UserError
from snnbench.seeding import seed_cpu


class Images(Protocol):
    """Undecoded or decoded images with int64 labels [N]."""

    labels: Tensor

    def pil(self, index: int) -> Image.Image:
        """Image `index`, mode "L" or "RGB"."""


class MemoryImages:
    """Decoded images.

    Args:
        pixels: uint8 [N, H, W, C], C = 1 or 3.
        labels: int64 [N].
    """

    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        self.pixels, self.labels = pixels, labels

    def pil(self, index: int) -> Image.Image:
        pixels = self.pixels[index].numpy()
        return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


class FileImages:
    """RGB images decoded whenever they are asked for."""

    def __init__(self, paths: Sequence[str | Path], labels: Tensor) -> None:
        self.paths = np.array([os.fsencode(path) for path in paths])  # one buffer: forked workers do not copy it
        self.labels = labels

    def pil(self, index: int) -> Image.Image:
        path = os.fsdecode(self.paths[index])
        try:
            with Image.open(path) as image:
                _check_size(*image.size)
                return image.convert("RGB")
        except Exception as error:  # of a damaged file PIL's readers raise whatever they stumble over
            raise UserError(
                f"{spelt(path)} is damaged or missing ({_reason(error)}): fetch it again, or move it away."
            ) from error


warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # what it warns of is refused here


def _check_size(width: int, height: int) -> None:
    """PIL itself refuses an image only if it has twice as many pixels."""
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and width * height > most:
        raise ValueError(f"{width}x{height} pixels, more than {most}")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is no image"
    text = " ".join((getattr(error, "strerror", None) or str(error)).split())
    return spelt(text)[:160] if text else type(error).__name__


class ImageDataset(Dataset[tuple[Tensor, Tensor]]):
    """Batches of normalised images: x float32 [B, C, H, W], y int64 [B].

    Args:
        images: Where the pixels come from.
        positions: Which of them belong to this data set, int64 [N].
        mean: Per channel, of pixels in [0, 1].
        std: Per channel.
        transforms: Applied in turn to each PIL image; the result may be PIL or uint8 [C, H, W].
        normalized: Applied in turn to each normalised image.
        seed: Together with a sample's key it seeds the transforms' random numbers; None: the transforms draw none.
    """

    def __init__(
        self,
        images: Images,
        positions: Tensor,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        transforms: Sequence[Callable[[Any], Any]] = (),
        normalized: Sequence[Callable[[Tensor], Tensor]] = (),
        seed: int | None = None,
    ) -> None:
        self.images, self.positions = images, positions
        self.labels = images.labels[positions]
        self.mean, self.std = (torch.tensor(list(values)).view(-1, 1, 1) for values in (mean, std))
        self.transforms, self.normalized, self.seed = list(transforms), list(normalized), seed

    @property
    def batched(self) -> bool:
        """Whether whole batches are indexed at once, faster than any worker could hand them over."""
        return isinstance(self.images, MemoryImages) and not self.transforms and not self.normalized

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x, y = self.__getitems__([(0, index)])
        return x[0], y[0]

    def __getitems__(self, keys: Sequence[Key]) -> tuple[Tensor, Tensor]:
        indices = torch.tensor([index for _, index in keys])
        if isinstance(self.images, MemoryImages) and self.batched:
            x = self._normalise(self.images.pixels[self.positions[indices]].permute(0, 3, 1, 2))
        else:
            x = torch.stack([self._sample(key) for key in keys])
            x = x if x.is_floating_point() else self._normalise(x)
        return x, self.labels[indices]

    def _sample(self, key: Key) -> Tensor:
        """One image: uint8, or normalised already if there are transforms that want it so."""
        draw, position = key[0], int(self.positions[key[1]])
        if self.seed is not None:
            seed_cpu(self.seed, draw, position)
        image: Any = self.images.pil(position)
        for transform in self.transforms:
            image = transform(image)
        pixels = image if isinstance(image, Tensor) else _to_tensor(image)
        if self.normalized:
            pixels = self._normalise(pixels)
            for transform in self.normalized:
                pixels = transform(pixels)
        return pixels

    def _normalise(self, pixels: Tensor) -> Tensor:
        x = pixels.to(torch.float32, memory_format=torch.contiguous_format)
        return x.div_(255).sub_(self.mean).div_(self.std)


def _to_tensor(image: Image.Image) -> Tensor:
    pixels = torch.from_numpy(np.array(image))
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()
