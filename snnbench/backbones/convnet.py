"""A small convolutional network for digits, MNIST and quick experiments."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from snnbench.backbones.base import Backbone, ImageSize, init_convs
from snnbench.backbones.layers import AdaptiveAvgPool2d, NeuronFactory, NormFactory, conv3x3, make_pool, unit_factory
from snnbench.check import count, counts


class ConvNet(Backbone):
    """(conv 3x3, norm, neuron) for each multiplier, some followed by a 2x2 pool; average to a grid; linear.

    Not from a paper: sized so that a run takes seconds.

    Args:
        width: channels of a layer with multiplier 1.
        multipliers: one entry for each convolution: its channels in units of `width`.
        pool_after: the numbers of the convolutions that a pool follows, counted from 1.
        pool: "avg" or "max".
        grid: height and width of the map that the linear layer reads; 1 is the global average.
    """

    def __init__(
        self,
        *,
        neuron: NeuronFactory,
        norm: NormFactory,
        T: int,
        in_channels: int,
        num_classes: int,
        image_size: ImageSize,
        width: int = 16,
        multipliers: Sequence[int] = (1, 2, 2),
        pool_after: Sequence[int] = (2,),
        pool: str = "avg",
        grid: int = 1,
    ) -> None:
        grid, width = count("backbone.grid", grid), count("backbone.width", width)
        multipliers = counts("backbone.multipliers", multipliers)
        pool_after = counts("backbone.pool_after", pool_after, 1, len(multipliers), empty=True)
        super().__init__(
            T=T,
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            reduction=2 ** len(set(pool_after)),
        )
        channels = [in_channels, *(m * width for m in multipliers)]
        unit = unit_factory(norm, neuron)
        self.convs = nn.ModuleList(conv3x3(*pair) for pair in pairwise(channels))
        self.units = nn.ModuleList(unit(c) for c in channels[1:])
        self.pools = nn.ModuleDict({str(n): make_pool(pool) for n in pool_after})
        self.grid = AdaptiveAvgPool2d(grid)
        self.fc = nn.Linear(channels[-1] * grid * grid, num_classes)
        init_convs(self)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        for n, (conv, unit) in enumerate(zip(self.convs, self.units, strict=True), start=1):
            x = unit(conv(x), repeats if n == 1 else 1)
            if str(n) in self.pools:
                x = self.pools[str(n)](x)
        return self.fc(self.grid(x).flatten(2))
