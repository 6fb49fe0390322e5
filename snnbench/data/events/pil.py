"""What frames become in code that makes a PIL image of each: bytes, the first channel grey, the second its opacity."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

_ONE = 2**22  # PIL's weights are whole multiples of 1 / _ONE


def to_bytes(counts: Tensor) -> Tensor:
    """A count n becomes (256 - n) mod 256.

    torchvision takes the counts for shares of one: it multiplies by 255 and keeps the lowest eight bits, so that no
    event is black, one is white, and each further one a little darker.
    """
    return torch.remainder(256 - counts, 256)


def resize(x: Tensor, size: Sequence[int], interpolation: str) -> Tensor:
    """PIL's resizing of images of mode LA, bit by bit.

    "nearest" takes pixels as they are. "bilinear" averages over all pixels that become one; grey is weighted with its
    opacity before, and divided by it after: of pixels that are fully transparent (no ON event) nothing is left. Each of
    its two passes, within rows and then within columns, is rounded to bytes.

    Args:
        x: Bytes as floats, [T, ..., 2, H, W]; "bilinear" computes a frame at a time, in float64.
        size: Rows and columns wanted.
        interpolation: "nearest" or "bilinear".

    Returns:
        Bytes in the dtype of x, [T, ..., 2, *size].
    """
    pairs = list(zip(x.shape[-2:], size, strict=True))
    if interpolation == "nearest":
        rows, columns = (torch.tensor(_nearest(*pair), device=x.device) for pair in pairs)
        return x[..., rows[:, None], columns]
    rows, columns = (_weights(*pair).to(x.device) for pair in pairs)
    return torch.stack([_bilinear(frame.double(), rows, columns).to(x.dtype) for frame in x])


def _nearest(size: int, wanted: int) -> list[int]:
    """The pixel under the centre of each new one; where it lies between two, the rounding of a running sum decides."""
    scale = size / wanted
    return [int(centre) for centre in itertools.accumulate([scale] * (wanted - 1), initial=scale / 2)]


def _bilinear(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    grey, opacity = x.unbind(-3)
    product = grey * opacity + 128
    x = torch.stack([((product / 256).floor() + product).div(256).floor(), opacity], -3)  # PIL's way to divide by 255
    x = _to_byte(rows @ _to_byte(x @ columns.T))
    weighted, opacity = x.unbind(-3)
    partly = (opacity > 0) & (opacity < 255)
    grey = torch.where(partly, (255 * weighted / opacity).floor().clamp(max=255), weighted)
    return torch.stack([grey, opacity], -3)


def _to_byte(sums: Tensor) -> Tensor:
    return (sums / _ONE + 0.5).floor().clamp(0, 255)


@functools.cache
def _weights(size: int, wanted: int) -> Tensor:
    """Whole multiples of 1 / _ONE, [wanted, size]: a triangle as wide as the pixels that become one, on each side."""
    scale = size / wanted
    support = max(scale, 1.0)
    weights = torch.zeros(wanted, size, dtype=torch.float64)
    for i in range(wanted):
        centre = (i + 0.5) * scale
        start, stop = max(int(centre - support + 0.5), 0), min(int(centre + support + 0.5), size)
        distance = (torch.arange(start, stop, dtype=torch.float64) - centre + 0.5) / support
        triangle = (1 - distance.abs()).clamp(min=0)
        weights[i, start:stop] = (triangle / triangle.sum() * _ONE + 0.5).floor()
    return weights
