"""Networks of SEW blocks for small images and for events."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from snnbench.backbones.base import Backbone, ImageSize, init_convs
from snnbench.backbones.layers import (
    NeuronFactory,
    NormFactory,
    conv1x1,
    conv3x3,
    global_average,
    make_pool,
    unit_factory,
)
from snnbench.backbones.residual import plan_stages
from snnbench.backbones.sew import SEWBlock, sew_stages
from snnbench.check import count, counts


class SEWNet(Backbone):
    """The networks for event data: 7B-Net, and 7B-wideNet with more channels.

    conv 1x1, norm, neuron; then for each multiplier a SEW block, where the channels change after another conv 1x1, norm
    and neuron, some followed by a 2x2 pool; linear. At 128x128 0.13 M parameters and 15 neuron layers (11 classes), and
    1.19 M and 16 (10 classes). All weights at PyTorch's default.

    Args:
        width: channels of a block with multiplier 1.
        multipliers: one entry for each block: its channels in units of `width`.
        pool_after: the numbers of the blocks that a pool follows, counted from 1.
        pool: "max", or "avg" (GLIF).
        connect: "add" (the paper's choice), "and" or "iand".
        zero_init_last: start the last norm of each block so that the block begins as the identity.
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
        width: int,
        multipliers: Sequence[int],
        pool_after: Sequence[int],
        pool: str = "max",
        connect: str = "add",
        zero_init_last: bool = False,
    ) -> None:
        multipliers = counts("backbone.multipliers", multipliers)
        pool_after = counts("backbone.pool_after", pool_after, 1, len(multipliers), empty=True)
        halvings = len(set(pool_after))
        super().__init__(
            T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=2**halvings
        )
        unit = unit_factory(norm, neuron)
        channels = [multiplier * count("backbone.width", width) for multiplier in multipliers]
        self.conv, self.unit = conv1x1(in_channels, channels[0]), unit(channels[0])
        self.blocks = nn.Sequential()
        for n, (c_in, c) in enumerate(zip([channels[0], *channels], channels, strict=False), start=1):
            if c_in != c:
                self.blocks.extend([conv1x1(c_in, c), unit(c)])
            self.blocks.append(SEWBlock(c, c, 1, unit=unit, connect=connect, zero_init_last=zero_init_last))
            if n in pool_after:
                self.blocks.append(make_pool(pool))
        cells = (self.image_size[0] >> halvings) * (self.image_size[1] >> halvings)
        self.fc = nn.Linear(channels[-1] * cells, num_classes)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        return self.fc(self.blocks(self.unit(self.conv(x), repeats)).flatten(2))


class SEWResNet19(Backbone):
    """ResNet-19 of SEW blocks for small images, as in the MPD-AGL repository.

    conv 3x3, norm, neuron; stages of 128, 256 and 512 channels whose blocks add spikes; global average; linear, norm,
    neuron; linear. No biases but the norms'. 12.70 M parameters (10 classes), 20 neuron layers. Linear weights at
    PyTorch's default.

    Args:
        width: channels of the stem and the first stage; the hidden linear layer has twice as many.
        blocks: number of blocks in each of the three stages.
        connect: "add", "and" or "iand".
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
        width: int = 128,
        blocks: Sequence[int] = (3, 3, 2),
        connect: str = "add",
    ) -> None:
        super().__init__(T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=4)
        widths = [count("backbone.width", width) * factor for factor in (1, 2, 4)]
        unit = unit_factory(norm, neuron)
        self.conv = conv3x3(in_channels, width)
        self.unit = unit(width)
        self.blocks = sew_stages(plan_stages(width, widths, blocks), unit, connect=connect, zero_init_last=False)
        self.hidden = nn.Sequential(nn.Linear(widths[-1], 2 * width, bias=False), unit(2 * width))
        self.fc = nn.Linear(2 * width, num_classes, bias=False)
        init_convs(self)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        return self.fc(self.hidden(global_average(self.blocks(self.unit(self.conv(x), repeats)))))
