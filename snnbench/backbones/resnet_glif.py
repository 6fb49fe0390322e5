"""ResNet-18 and -19 for CIFAR as in the GLIF repository."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from snnbench.backbones.base import Backbone, ImageSize, init_convs, init_linear
from snnbench.backbones.layers import NeuronFactory, NormFactory, conv3x3, global_average, unit_factory
from snnbench.backbones.residual import basic_stages, plan_stages
from snnbench.check import count, counts

WIDE_HEAD = 50


def glif_head(features: int, num_classes: int) -> nn.Sequential:
    """Up to 50 classes two linear layers without a neuron between, the first halving the features, else one.

    No biases, weights from N(0, 0.01^2).
    """
    sizes = [features, num_classes] if num_classes > WIDE_HEAD else [features, max(1, features // 2), num_classes]
    layers = [nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)]
    for layer in layers:
        init_linear(layer, 0.01)
    return nn.Sequential(*layers)


class GLIFResNet(Backbone):
    """The residual networks of the GLIF repository for CIFAR (ResNet_18_stand_CW, ResNet_19_cifar_CW).

    conv 3x3, norm, neuron; stages that double the channels, of blocks that fire after the sum; global average; linear.
    Every shortcut is normalised, also where the shape does not change, and each summand has 1 / sqrt(2) of a norm's
    standard deviation. The linear layers are those of `glif_head`.

    ResNet-18 has a stem of 64 and blocks [2, 2, 2, 2] with strides [1, 1, 2, 2], so an 8x8 map at the end: 11.30 M
    parameters with 10 classes, 11.22 M with 100. ResNet-19 has a stem of 128 and blocks [3, 3, 2] with strides
    [1, 2, 2]: 12.70 M, 12.62 M. Both have 17 neuron layers.

    Args:
        width: channels of the stem and the first stage.
        blocks: number of blocks in each stage.
        strides: of the first block of each stage, 1 or 2.
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
        blocks: Sequence[int],
        strides: Sequence[int],
    ) -> None:
        blocks = counts("backbone.blocks", blocks)
        strides = counts("backbone.strides", strides, 1, 2, length=len(blocks), hint="One for each of backbone.blocks.")
        reduction = math.prod(strides)
        super().__init__(
            T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=reduction
        )
        widths = [count("backbone.width", width) * 2**stage for stage in range(len(blocks))]
        unit = unit_factory(norm, neuron)
        self.conv = conv3x3(in_channels, width)
        self.unit = unit(width)
        plan = plan_stages(width, widths, blocks, strides)
        self.stages = basic_stages(plan, unit, norm, balanced=True, norm_shortcut=True)
        self.fc = glif_head(widths[-1], num_classes)
        init_convs(self)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        return self.fc(global_average(self.stages(self.unit(self.conv(x), repeats))))
