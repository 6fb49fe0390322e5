"""Transforms of whole clips, float [T, 2, H, W]: one draw holds for every frame. torchvision has the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from snnbench.check import choice, choices, count, number, numbers
from snnbench.data.augment import BatchTransform
from snnbench.data.events import pil
from snnbench.errors import UserError

INTERPOLATIONS = ("nearest", "bilinear")
OPERATIONS = ("Identity", "ShearX", "TranslateX", "TranslateY", "Rotate", "Cutout")


class RandomRoll(v2.Transform):
    """Shift rows and columns by whole pixels, each uniform in [-most, most]; what leaves comes in on the other side.

    Args:
        most: Pixels.
    """

    def __init__(self, most: int = 5) -> None:
        super().__init__()
        self.most = count("RandomRoll.most", most, 0)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"shifts": torch.randint(-self.most, self.most + 1, (2,)).tolist()}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return torch.roll(inpt, params["shifts"], (-2, -1))


class SNNAugmentWide(v2.Transform):
    """One of identity, ShearX, TranslateX, TranslateY, rotation and cutout, with a random strength.

    As in the code of AR-LIF and FSTA-SNN: strengths are one of 31 equidistant ones, a shear is a factor taken for
    radians, a shift is cut to whole pixels, everything happens about the centre, and zeros fill what is uncovered.

    Args:
        interpolation: "nearest" or "bilinear".
        cutout_scale: Share of the area that a cutout takes.
        cutout_ratio: Its aspect ratio.
        shear: Largest factor.
        translate: Largest shift in pixels.
        rotate: Largest angle in degrees.
        operations: Those of OPERATIONS that it chooses from.

    Raises:
        UserError: An unknown operation, or none.
    """

    def __init__(
        self,
        interpolation: str = "bilinear",
        cutout_scale: Sequence[float] = (0.05, 0.33),
        cutout_ratio: Sequence[float] = (0.2, 5.0),
        shear: float = 0.3,
        translate: float = 5.0,
        rotate: float = 30.0,
        operations: Sequence[str] = OPERATIONS,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.operations = choices(f"{name}.operations", operations, OPERATIONS)
        if not self.operations:
            raise UserError(f"{name}.operations=[]: give some of {', '.join(OPERATIONS)}.")
        self.interpolation = v2.InterpolationMode(choice(f"{name}.interpolation", interpolation, INTERPOLATIONS))
        given = {"shear": shear, "translate": translate, "rotate": rotate}
        most = {key: number(f"{name}.{key}", value, "[0, inf)") for key, value in given.items()}
        self.most = {
            "ShearX": most["shear"],
            "TranslateX": most["translate"],
            "TranslateY": most["translate"],
            "Rotate": most["rotate"],
        }
        scale = numbers(f"{name}.cutout_scale", cutout_scale, "(0, 1]", length=2, ascending=True)
        ratio = numbers(f"{name}.cutout_ratio", cutout_ratio, "(0, inf)", length=2, ascending=True)
        self.erase = v2.RandomErasing(p=1.0, scale=scale, ratio=ratio)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        operation = self.operations[int(torch.randint(len(self.operations), ()))]
        strength = self.most.get(operation, 0.0) * (int(torch.randint(31, ())) / 15 - 1)
        return {"operation": operation, "strength": strength}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        operation, strength = params["operation"], params["strength"]
        if operation == "Identity":
            return inpt
        if operation == "Cutout":
            return self.erase(inpt)
        if operation == "Rotate":
            return F.rotate(inpt, strength, interpolation=self.interpolation)
        shift = [int(strength) * (operation == "TranslateX"), int(strength) * (operation == "TranslateY")]
        shear = [math.degrees(strength) if operation == "ShearX" else 0.0, 0.0]
        return F.affine(inpt, 0.0, shift, 1.0, shear, interpolation=self.interpolation)


class ClipBatchTransform(BatchTransform):
    """Runs image batch transforms, such as Mixup and CutMix, on clips: all frames of a clip are treated alike.

    (x [T, B, 2, H, W], y [B]) to (x, soft y [B, classes]).
    """

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        steps = len(x)
        flat, y = super().__call__(x.transpose(0, 1).flatten(1, 2), y)
        return flat.unflatten(1, (steps, -1)).transpose(0, 1).contiguous(), y


class RandomFrames:
    """Keeps some of a batch's frames, the same of every clip, drawn anew for each batch; their order stays.

    (x [T, B, 2, H, W], y) to (x [frames, B, 2, H, W], y). The draw is of PyTorch's global generator.

    Args:
        frames: how many, at most T.
    """

    def __init__(self, frames: int) -> None:
        self.frames = frames

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        kept = torch.randperm(len(x))[: self.frames].sort().values
        return x[kept.to(x.device)], y


def to_input(
    counts: Tensor, size: Sequence[int], interpolation: str, antialias: bool = True, values: str = "counts"
) -> Tensor:
    """Counts as they come from a loader to what a network takes.

    Args:
        counts: Integers [B, T, 2, H, W].
        size: Rows and columns wanted.
        interpolation: "nearest" or "bilinear".
        antialias: whether "bilinear" averages over what it shrinks, or takes the mean of two pixels in each direction.
        values: "counts"; "binary", 1 where there was an event; "binary_merged", that of both polarities together in
            channel 0, with channel 1 left at 0; or "bytes", those of a PIL image of each frame, resized by PIL's rules
            and divided by 255 (`snnbench.data.events.pil`).

    Returns:
        float32 [T, B, 2, *size].
    """
    same = list(counts.shape[-2:]) == list(size)
    if (
        counts.device.type == "cpu" and not same
    ):  # floats of one timestep stay in the cache; of all, they are new memory
        frames = counts.split(1, dim=1)
        return torch.cat([_to_input(frame, size, interpolation, antialias, values, same) for frame in frames])
    return _to_input(counts, size, interpolation, antialias, values, same)


def _to_input(
    counts: Tensor, size: Sequence[int], interpolation: str, antialias: bool, values: str, same: bool
) -> Tensor:
    if values == "binary_merged":
        counts = torch.cat([counts.amax(2, keepdim=True), torch.zeros_like(counts[:, :, 1:])], 2)
    if values.startswith("binary"):
        counts = counts > 0
    x = counts.transpose(0, 1).to(torch.float32, memory_format=torch.contiguous_format)
    if values == "bytes":
        x = pil.to_bytes(x)
        return (x if same else pil.resize(x, size, interpolation)) / 255
    if same:
        return x
    return F.resize(x, list(size), interpolation=v2.InterpolationMode(interpolation), antialias=antialias)
