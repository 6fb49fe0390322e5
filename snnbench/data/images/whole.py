"""Augmentation of a whole batch of images in memory at once, where it is the same as one by one, bit for bit.

Crops, flips and holes only move, drop and overpaint pixels: a batch is described by which row and column of its stored
image each pixel comes from, and what is painted over it. Transforms change that description, a few numbers an image,
and the pixels move once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor
from torchvision.transforms import v2

from snnbench.data.augment import Cutout, RandomRedErasing
from snnbench.data.images.words import MOST, Draws

_BLOCK = 128  # images whose pixels and places stay in the cache


@dataclass
class Patch:
    """A rectangle of zeros over each image: its rows bool [B, h] and columns bool [B, w].

    Attributes:
        first: what the first channel gets instead, uint8 [B], or None.
    """

    rows: Tensor
    columns: Tensor
    first: Tensor | None = None


@dataclass
class View:
    """A batch of images, as rows and columns of the stored ones [B, C, height, width].

    Attributes:
        rows: int64 [B, h]; `height` where there is nothing but zeros.
        columns: int64 [B, w]; `width` where there is nothing but zeros.
        patches: what is painted over, the later over the earlier.
    """

    rows: Tensor
    columns: Tensor
    patches: list[Patch] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        return self.rows.shape[1], self.columns.shape[1]

    def taken(self, stored: Tensor) -> Tensor:
        """The pixels, from `stored` uint8 [B, height, width, C]: uint8 [B, C, h, w]."""
        n, height, width, channels = stored.shape
        framed = stored.new_zeros(n, channels, height + 1, width + 1)
        framed[:, :, :height, :width] = stored.permute(0, 3, 1, 2)
        places = self.rows[:, :, None] * (width + 1) + self.columns[:, None, :]
        colour = stored.new_zeros(places.shape) if any(patch.first is not None for patch in self.patches) else None
        for patch in self.patches:
            inside = patch.rows[:, :, None] & patch.columns[:, None, :]
            places.masked_fill_(inside, height * (width + 1))
            if colour is not None:
                colour = torch.where(inside, 0 if patch.first is None else patch.first[:, None, None], colour)
        moved = framed.flatten(2).gather(2, places.flatten(1)[:, None].expand(-1, channels, -1))
        x = moved.view(n, channels, *self.size)
        if colour is not None:
            x[:, 0] += colour
        return x


def _window(line: Tensor, start: Tensor, length: int) -> Tensor:
    """[B, length] of `line` [B, n], from each one's `start` on."""
    return line.gather(1, start[:, None] + torch.arange(length))


def _crop(transform: v2.RandomCrop, view: View, draws: Draws, height: int, width: int) -> None:
    left, right, top, bottom = transform.padding or (0, 0, 0, 0)  # torchvision keeps them in this order
    for axis, before, after, length, outside in (
        ("rows", top, bottom, transform.size[0], height),
        ("columns", left, right, transform.size[1], width),
    ):
        line = nnf.pad(getattr(view, axis), (before, after), value=outside)
        spare = line.shape[1] - length
        start = draws.below(spare + 1) if spare else torch.zeros(len(line), dtype=torch.int64)
        setattr(view, axis, _window(line, start, length))
        for patch in view.patches:
            setattr(patch, axis, _window(nnf.pad(getattr(patch, axis), (before, after)), start, length))


def _flip(axis: str) -> Callable[..., None]:
    def flip(transform: Any, view: View, draws: Draws, height: int, width: int) -> None:
        chosen = ~(draws.uniform() >= transform.p)[:, None]
        for owner in (view, *view.patches):
            line = getattr(owner, axis)
            setattr(owner, axis, torch.where(chosen, line.flip(1), line))

    return flip


def _cutout(transform: Cutout, view: View, draws: Draws, height: int, width: int) -> None:
    half, (h, w) = transform.length // 2, view.size
    for _ in range(transform.holes):
        y, x = draws.below(h), draws.below(w)
        view.patches.append(Patch(_between(h, y - half, y + half), _between(w, x - half, x + half)))


def _red(transform: RandomRedErasing, view: View, draws: Draws, height: int, width: int) -> None:
    chosen, (h, w) = draws.uniform().double() < transform.p, view.size

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * draws.uniform(chosen).double()

    area, ratio = uniform(*transform.scale) * h * w, uniform(*transform.ratio)
    tall = (area * ratio).sqrt().long().clamp(max=h)
    wide = (area / ratio).sqrt().long().clamp(max=w)
    top, left = draws.below(h - tall + 1, chosen), draws.below(w - wide + 1, chosen)
    value = draws.below(256, chosen) * chosen
    rows = _between(h, top, top + tall) & chosen[:, None]
    view.patches.append(Patch(rows, _between(w, left, left + wide), value.to(torch.uint8)))


def _between(size: int, start: Tensor, stop: Tensor) -> Tensor:
    """Which of 0 ... size - 1 lie in [start, stop): bool [B, size]."""
    places = torch.arange(size)
    return (places >= start[:, None]) & (places < stop[:, None])


def _as_is(transform: Any, view: View, draws: Draws, height: int, width: int) -> None:
    """For what makes a tensor of an image."""


@dataclass(frozen=True)
class _Known:
    """How a transform acts on a view, and how many random words it takes at most."""

    act: Callable[..., None]
    words: Callable[[Any], int] = lambda transform: 0
    fits: Callable[[Any], bool] = lambda transform: True


def _plain_crop(transform: v2.RandomCrop) -> bool:
    zeros = transform.padding_mode == "constant" and transform.fill == 0
    return not transform.pad_if_needed and (transform.padding is None or zeros)


KNOWN: dict[type, _Known] = {
    v2.RandomCrop: _Known(_crop, lambda transform: 2, _plain_crop),
    v2.RandomHorizontalFlip: _Known(_flip("columns"), lambda transform: 1),
    v2.RandomVerticalFlip: _Known(_flip("rows"), lambda transform: 1),
    v2.PILToTensor: _Known(_as_is),
    Cutout: _Known(_cutout, lambda transform: 2 * transform.holes),
    RandomRedErasing: _Known(_red, lambda transform: 6),
}
"""By their exact class: a subclass may do anything."""


class WholeBatches:
    """`transforms`, on a batch at once. Make one with `whole`."""

    def __init__(self, transforms: Sequence[Any]) -> None:
        self._transforms = list(transforms)
        self.words = sum(KNOWN[type(transform)].words(transform) for transform in transforms)

    def __call__(self, stored: Tensor, words: Tensor) -> Tensor:
        """Stored images uint8 [B, H, W, C], augmented by their random `words` int64 [B, n]: uint8 [B, C, h, w]."""
        return torch.cat([self._block(*block) for block in zip(stored.split(_BLOCK), words.split(_BLOCK), strict=True)])

    def _block(self, stored: Tensor, words: Tensor) -> Tensor:
        n, height, width, _ = stored.shape
        view, draws = View(torch.arange(height).expand(n, -1), torch.arange(width).expand(n, -1)), Draws(words)
        for transform in self._transforms:
            KNOWN[type(transform)].act(transform, view, draws, height, width)
        return view.taken(stored)


def whole(transforms: Sequence[Any]) -> WholeBatches | None:
    """How `transforms` are done to whole batches, or None where one of them has to see an image by itself."""
    known = [KNOWN.get(type(transform)) for transform in transforms]
    if not transforms or any(k is None or not k.fits(t) for k, t in zip(known, transforms, strict=True)):
        return None
    found = WholeBatches(transforms)
    return found if found.words <= MOST else None
