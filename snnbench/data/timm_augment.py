"""The augmentation of timm's training script for photographs, by its options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torchvision.transforms import v2

from snnbench.check import choice, number, numbers, shown
from snnbench.data.augment import Augment
from snnbench.errors import UserError

FILLS = {"zeros": 0, "noise": "random"}
BICUBIC = v2.InterpolationMode.BICUBIC
PIL_BICUBIC = 3


class TimmAugment(Augment):
    """Random resized crop, flip, RandAugment; Mixup or CutMix of a batch, each as often; then erasing. All is bicubic.

    timm mixes bytes, rounded; here images are mixed after they are normalised.

    Args:
        name: names the recipe in results.
        size: height and width of an image.
        num_classes: of the labels that are mixed.
        mean: per channel, of pixels in [0, 1]; RandAugment fills with it.
        scale: area of the crop, as a share of the image's: smallest and largest.
        rand_augment: timm's words, such as "rand-m9-mstd0.5-inc1".
        mixup, cutmix: alpha of their Beta distributions; 0: never.
        mix_share: of the batches, how many are mixed.
        batch_epochs: in how many of the first epochs; None: in all.
        erase: of the images, in how many a rectangle is erased, after they were mixed.
        erase_with: "zeros", which is the mean of all images, or "noise", N(0, 1) for each pixel.

    Raises:
        UserError: a value outside its range, or words that timm does not take.
    """

    def __init__(
        self,
        name: str,
        *,
        size: int,
        num_classes: int,
        mean: Sequence[float],
        scale: Sequence[float] = (0.08, 1.0),
        rand_augment: str = "rand-m9-mstd0.5-inc1",
        mixup: float = 0.0,
        cutmix: float = 0.0,
        mix_share: float = 1.0,
        batch_epochs: int | None = None,
        erase: float = 0.0,
        erase_with: str = "zeros",
    ) -> None:
        area = numbers("augment.scale", scale, "(0, 1]", length=2, ascending=True)
        erase = number("augment.erase", erase, "[0, 1]")
        fill: Any = FILLS[choice("augment.erase_with", erase_with, FILLS)]
        super().__init__(
            name,
            sample=[
                v2.RandomResizedCrop(size, scale=area, interpolation=BICUBIC),
                v2.RandomHorizontalFlip(),
                _rand_augment(rand_augment, size, mean),
            ],
            batch=_mixing(num_classes, mixup, cutmix, mix_share),
            batch_epochs=batch_epochs,
            mixed=[v2.RandomErasing(erase, scale=(0.02, 1 / 3), ratio=(0.3, 1 / 0.3), value=fill)] if erase else [],
        )


def _rand_augment(words: str, size: int, mean: Sequence[float]) -> Callable[[Any], Any]:
    from timm.data import rand_augment_transform

    fill = tuple(min(255, round(255 * value)) for value in mean)
    try:
        made: Callable[[Any], Any] = rand_augment_transform(
            words, {"translate_const": int(0.45 * size), "img_mean": fill, "interpolation": PIL_BICUBIC}
        )
    except (AssertionError, AttributeError, ValueError) as error:
        raise UserError(
            f"augment.rand_augment={shown(words)}: is not what timm understands, such as rand-m9-mstd0.5-inc1."
        ) from error
    return made


def _mixing(num_classes: int, mixup: float, cutmix: float, share: float) -> list[Callable[..., Any]]:
    number("augment.mix_share", share, "[0, 1]")
    alphas = {
        v2.MixUp: number("augment.mixup", mixup, "[0, inf)"),
        v2.CutMix: number("augment.cutmix", cutmix, "[0, inf)"),
    }
    made = [kind(alpha=alpha, num_classes=num_classes) for kind, alpha in alphas.items() if alpha]
    if not made or not share:
        return []
    one = v2.RandomChoice(made)
    return [one if share == 1 else v2.RandomApply([one], p=share)]
