"""Augmentation: what the configs under configs/augment build, and the transforms torchvision lacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from snnbench.check import callables, count, number, numbers, shown
from snnbench.errors import UserError


class Augment:
    """The transforms of one recipe, by the point where they act.

    Args:
        name: Names the recipe in results.
        sample: On each training image, PIL in and PIL or uint8 tensor [C, H, W] out, before normalisation. Empty:
            training images get the evaluation transform.
        normalized: On each training image after normalisation, float32 [C, H, W].
        batch: On each training batch, on the device: (x [B, C, H, W], y [B]) to (x, soft y [B, classes]).
        batch_epochs: In how many of the first epochs `batch` acts; None: in all.
        mixed: On each training image after `batch`, on the device, float32 [C, H, W].
    """

    def __init__(
        self,
        name: str,
        sample: Sequence[Callable[[Any], Any]] = (),
        normalized: Sequence[Callable[[Tensor], Tensor]] = (),
        batch: Sequence[Callable[..., Any]] = (),
        batch_epochs: int | None = None,
        mixed: Sequence[Callable[[Tensor], Tensor]] = (),
    ) -> None:
        self.name = name
        self.sample = callables("augment.sample", sample)
        self.normalized = callables("augment.normalized", normalized)
        self.batch = callables("augment.batch", batch)
        hint = "null is all of them."
        self.batch_epochs = count("augment.batch_epochs", batch_epochs, 0, also=(None,), hint=hint)
        self.mixed = callables("augment.mixed", mixed)


def augment_of(value: Augment | None) -> Augment:
    """`value`, or for None what leaves the training images as they are.

    Raises:
        UserError: it is something else.
    """
    if value is None:
        return Augment("none")
    if not isinstance(value, Augment):
        raise UserError(f"data.augment={shown(value)}: must be what configs/augment builds, or null.")
    return value


class BatchTransform:
    """Runs `transforms` one after the other on (x, y) and returns y as class probabilities, mixed or not.

    They draw from the global generators only, so seeding those per step makes them repeatable.

    Args:
        transforms: On (x, y).
        num_classes: Of y.
        epochs: In how many of the first epochs `transforms` act; None: in all.
        mixed: On each x after them.
        epoch_of: Tells the current epoch.
    """

    def __init__(
        self,
        transforms: Sequence[Callable[..., Any]],
        num_classes: int,
        *,
        epochs: int | None = None,
        mixed: Sequence[Callable[[Tensor], Tensor]] = (),
        epoch_of: Callable[[], int] = lambda: 0,
    ) -> None:
        self.transforms, self.num_classes = list(transforms), num_classes
        self.epochs, self.mixed, self.epoch_of = epochs, list(mixed), epoch_of

    @classmethod
    def of(cls, augment: Augment, num_classes: int, epoch_of: Callable[[], int]) -> BatchTransform | None:
        """What `augment` does to training batches; None where that is nothing."""
        if not (augment.batch or augment.mixed):
            return None
        return cls(augment.batch, num_classes, epochs=augment.batch_epochs, mixed=augment.mixed, epoch_of=epoch_of)

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if self.epochs is None or self.epoch_of() < self.epochs:
            for transform in self.transforms:
                x, y = transform(x, y)
        if self.mixed:
            x = torch.stack([self._mixed(image) for image in x])
        if not y.is_floating_point():
            y = nnf.one_hot(y, self.num_classes).to(x.dtype)
        return x, y

    def _mixed(self, image: Tensor) -> Tensor:
        for transform in self.mixed:
            image = transform(image)
        return image


class Cutout(v2.Transform):
    """Square holes of zeros, centred anywhere and clipped at the border (arXiv 1708.04552).

    torchvision's RandomErasing keeps its rectangle inside the image and varies its shape; this does neither.

    Args:
        holes: Number of holes, at least 1; they may overlap.
        length: Side in pixels, at least 2. A centre (y, x) clears rows [y - length // 2, y + length // 2), and so for
            columns.
    """

    def __init__(self, holes: int = 1, length: int = 16) -> None:
        super().__init__()
        self.holes, self.length = count("Cutout.holes", holes), count("Cutout.length", length, 2)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = v2.query_size(flat_inputs)
        return {"centres": [(_randint(height), _randint(width)) for _ in range(self.holes)]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        height, width = v2.query_size([inpt])
        half = self.length // 2
        for y, x in params["centres"]:
            top, left = max(y - half, 0), max(x - half, 0)
            bottom, right = min(y + half, height), min(x + half, width)
            inpt = self._call_kernel(F.erase, inpt, top, left, bottom - top, right - left, torch.zeros(()))
        return inpt


class RandomRedErasing(v2.Transform):
    """In some images, a rectangle of one colour: a value from 0 to 255 in the first channel, zeros in the others.

    This is what the `Cutout` of torchtoolbox, which CLIF's code uses without its star, does to an RGB image: it pastes
    a whole number, and PIL takes that for a red. Area and aspect ratio are uniform, sides are cut to whole pixels.
    torchvision's RandomErasing draws the ratio's logarithm, and rounds.

    Args:
        p: Share of the images.
        scale: Area of the rectangle, as a share of the image's.
        ratio: Its height, as a multiple of its width.

    Raises:
        UserError: A number outside its range, or a largest one below the smallest.
    """

    def __init__(
        self, p: float = 0.5, scale: Sequence[float] = (0.02, 0.4), ratio: Sequence[float] = (0.4, 2.5)
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.p = number(f"{name}.p", p, "[0, 1]")
        self.scale = numbers(f"{name}.scale", scale, "(0, 1]", length=2, ascending=True)
        self.ratio = numbers(f"{name}.ratio", ratio, "(0, inf)", length=2, ascending=True)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        if float(torch.rand(())) >= self.p:
            return {"box": None}
        height, width = v2.query_size(flat_inputs)
        area, ratio = _uniform(*self.scale) * height * width, _uniform(*self.ratio)
        h, w = min(int(math.sqrt(area * ratio)), height), min(int(math.sqrt(area / ratio)), width)
        return {"box": (_randint(height - h + 1), _randint(width - w + 1), h, w), "value": _randint(256)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """`inpt`: a tensor [..., C, H, W]."""
        if params["box"] is None:
            return inpt
        colour = torch.zeros(inpt.shape[-3], 1, 1, dtype=inpt.dtype)
        colour[0] = params["value"]
        return self._call_kernel(F.erase, inpt, *params["box"], colour)


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def _randint(stop: int) -> int:
    return int(torch.randint(stop, ()))
