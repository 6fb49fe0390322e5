"""ResNet-18 for CIFAR as in the GLIF repository."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

from snnbench.backbones.base import Backbone, ImageSize, init_convs, init_linear
from snnbench.backbones.layers import NeuronFactory, NormFactory, conv3x3, global_average, unit_factory
from snnbench.backbones.resnet import BasicBlock, plan_stages
from snnbench.check import count

WIDE_HEAD = 50


class GLIFResNet18(Backbone):
    """ResNet-18 of the GLIF repository (class ResNet_18_stand_CW of networks_for_CIFAR.py).

    conv 3x3, norm, neuron; four stages of two blocks, 64 to 512 channels, that fire after the sum; global average;
    linear. Every shortcut is normalised, also where the shape does not change, and both norms of a sum start with the
    scale 1 / sqrt(2). Up to 50 classes two linear layers without a neuron between, 512-256-classes, else one; no
    biases. 11.30 M parameters (10 classes), 11.22 M (100 classes), 17 neuron layers.

    Args:
        width: channels of the stem and the first stage.
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
        width: int = 64,
    ) -> None:
        super().__init__(T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=8)
        widths = [count("backbone.width", width) * factor for factor in (1, 2, 4, 8)]
        unit = unit_factory(norm, neuron)
        self.conv = conv3x3(in_channels, width)
        self.unit = unit(width)
        self.stages = nn.Sequential(
            *(
                BasicBlock(*shape, unit=unit, norm=norm, average=False)
                for shape in plan_stages(width, widths, (2, 2, 2, 2))
            )
        )
        for block in self.stages:
            assert isinstance(block, BasicBlock)
            _normalise_sum(block, norm)
        sizes = [widths[-1], num_classes] if num_classes > WIDE_HEAD else [widths[-1], 4 * width, num_classes]
        self.fc = nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)))
        init_convs(self)
        for layer in self.fc:
            assert isinstance(layer, nn.Linear)
            init_linear(layer, 0.01)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        return self.fc(global_average(self.stages(self.unit(self.conv(x), repeats))))


def _normalise_sum(block: BasicBlock, norm: NormFactory) -> None:
    """Give an identity shortcut a norm, and start both summands with a standard deviation 1 / sqrt(2) as large."""
    if len(block.shortcut) == 0:
        block.shortcut.append(norm(block.conv2.out_channels))
    for summand in (block.unit2.norm, block.shortcut[-1]):
        nn.init.constant_(summand.get_parameter("bn.weight"), math.sqrt(0.5))
