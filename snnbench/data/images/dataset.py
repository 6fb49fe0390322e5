"""Images in memory or in folders, and the data set that turns them into normalised batches."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from snnbench.data.images.whole import WholeBatches, whole
from snnbench.data.images.words import first_words
from snnbench.data.sampler import Key
from snnbench.data.tree import spelt
from snnbench.errors import UserError
from snnbench.seeding import mix_each, seed_cpu

_KEPT = 8  # draws whose random words are kept
_COMPARED = 8  # samples by which it is seen that whole batches come out as they should


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
        self._words: dict[int, Tensor] = {}

    @property
    def plain(self) -> bool:
        """Whether a batch is pixels from memory, and nothing but normalised."""
        return isinstance(self.images, MemoryImages) and not self.transforms and not self.normalized

    @property
    def batched(self) -> bool:
        """Whether whole batches are made at once, faster than any worker could hand them over."""
        return self.plain or self._whole is not None

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x, y = self.__getitems__([(0, index)])
        return x[0], y[0]

    def __getitems__(self, keys: Sequence[Key]) -> tuple[Tensor, Tensor]:
        indices = torch.tensor([index for _, index in keys])
        x = self._at_once(keys, indices) if self.batched else torch.stack([self._sample(key) for key in keys])
        return x if x.is_floating_point() else self._normalise(x), self.labels[indices]

    def _at_once(self, keys: Sequence[Key], indices: Tensor) -> Tensor:
        """uint8 [B, C, H, W], equal to those of `_sample`."""
        assert isinstance(self.images, MemoryImages)
        stored = self.images.pixels.index_select(0, self.positions[indices])  # many times faster than [...]
        if self._whole is None:
            return stored.permute(0, 3, 1, 2)
        draws = torch.tensor([draw for draw, _ in keys])
        words = torch.empty(len(keys), self._whole.words, dtype=torch.int64)
        for draw in draws.unique().tolist():
            among = draws == draw
            words[among] = self._words_of(draw, self._whole.words)[indices[among]]
        return self._whole(stored, words)

    def _words_of(self, draw: int, count: int) -> Tensor:
        """The first random words of all samples, int64 [N, count]: in one go they cost a tenth of those of batches."""
        if draw not in self._words:
            assert self.seed is not None
            words = first_words(mix_each(self.seed, draw, self.positions.numpy()), count)
            self._words[draw] = torch.from_numpy(words.astype(np.int64))
            for old in list(self._words)[:-_KEPT]:
                del self._words[old]
        return self._words[draw]

    @cached_property
    def _whole(self) -> WholeBatches | None:
        """How the transforms are done to whole batches, if they can be and come out as one by one.

        Both ways follow from how torchvision acts on the numbers that PyTorch draws; of another version of them it is
        the samples one by one that are right.
        """
        if self.seed is None or self.normalized or not isinstance(self.images, MemoryImages):
            return None
        found = whole(self.transforms)
        if found is None:
            return None
        keys = [(0, index) for index in range(min(_COMPARED, len(self)))]
        with torch.random.fork_rng(devices=[]):
            one_by_one = [self._sample(key) for key in keys]
        stored = self.images.pixels[self.positions[: len(keys)]]
        at_once = found(stored, self._words_of(0, found.words)[: len(keys)])
        if all(torch.equal(a, b) for a, b in zip(one_by_one, at_once, strict=True)):
            return found
        logging.getLogger("snnbench").info("this torchvision augments differently: images are augmented one by one")
        return None

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
