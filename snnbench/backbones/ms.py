"""MS-ResNet: residual blocks that add membrane potentials, as in the GLIF repository."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from snnbench.backbones.base import Backbone, ImageSize, init_convs
from snnbench.backbones.layers import (
    Conv2d,
    NeuronFactory,
    NormFactory,
    conv1x1,
    conv3x3,
    global_average,
    unit_factory,
)
from snnbench.backbones.residual import plan_stages
from snnbench.backbones.resnet_glif import glif_head
from snnbench.check import count


class MSBlock(nn.Module):
    """neuron, conv 3x3, norm, neuron, conv 3x3, norm, plus the shortcut; no neuron reads the sum within the block.

    The shortcut is a norm, where the shape changes after a strided 1x1 convolution; each summand is normalised to
    1 / sqrt(2) of a norm's standard deviation.
    """

    def __init__(self, c_in: int, c_out: int, stride: int, *, neuron: NeuronFactory, norm: NormFactory) -> None:
        super().__init__()
        gain = math.sqrt(0.5)
        self.neuron = neuron(channels=c_in)
        self.conv1 = conv3x3(c_in, c_out, stride)
        self.unit = unit_factory(norm, neuron)(c_out)
        self.conv2 = conv3x3(c_out, c_out)
        self.norm = norm(c_out, gain=gain)
        self.shortcut = nn.Sequential()
        if stride != 1 or c_in != c_out:
            self.shortcut.append(conv1x1(c_in, c_out, stride))
        self.shortcut.append(norm(c_out, gain=gain))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv2(self.unit(self.conv1(self.neuron(x)))))
        return out + self.shortcut(x)


class MSResNet(Backbone):
    """The MS-ResNets of the GLIF repository for ImageNet: -18 ([2, 2, 2, 2] blocks) and -34 ([3, 4, 6, 3]).

    conv 7x7 stride 2 padding 1, norm, neuron; four stages that each halve the map; global average of the potentials;
    linear layers as `glif_head` has them. 11.70 M parameters without the neurons' (18 layers, 1000 classes), 17 neuron
    layers. The MS-ResNet paper's own network (Hu et al., arXiv 2112.08954) differs in stem, norms and head.

    Args:
        width: channels of the stem and the first stage.
        blocks: number of blocks in each of the four stages.
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
        blocks: Sequence[int],
        width: int = 64,
    ) -> None:
        super().__init__(T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=32)
        widths = [count("backbone.width", width) * factor for factor in (1, 2, 4, 8)]
        self.conv = Conv2d(in_channels, width, 7, stride=2, padding=1, bias=False)
        self.unit = unit_factory(norm, neuron)(width)
        self.blocks = nn.Sequential(
            *(
                MSBlock(*shape, neuron=neuron, norm=norm)
                for shape in plan_stages(width, widths, blocks, strides=(2, 2, 2, 2))
            )
        )
        self.fc = glif_head(widths[-1], num_classes)
        init_convs(self)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        return self.fc(global_average(self.blocks(self.unit(self.conv(x), repeats))))
