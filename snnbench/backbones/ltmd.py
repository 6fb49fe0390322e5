"""The networks of LTMD (Wang, Cheng and Lim, NeurIPS 2022; sq117/LTMD and its earlier copy sq171717/DTMD)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.backbones.base import Backbone, ImageSize
from snnbench.backbones.heads import ModerateDropout
from snnbench.backbones.layers import (
    AvgPool2d,
    Conv2d,
    NeuronFactory,
    NormFactory,
    UnitFactory,
    conv1x1,
    conv3x3,
    conv_stages,
    global_average,
    unit_factory,
)
from snnbench.check import count, counts, flag

REACH = 2  # neurons on either side that a lateral connection comes from


class Lateral(nn.Module):
    """x + conv(x) over [T, B, F]: each neuron's input and a weighted sum of those around it, 5 weights a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = Conv2d(1, 1, (1, 2 * REACH + 1), padding=(0, REACH), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x[:, :, None, None])[:, :, 0, 0]


class LTMDHead(nn.Module):
    """Linear, lateral connections, neuron, twice, with moderate dropout between.

    In training with dropout it makes two passes from there on, with a mask of its own each: [T, B, features] to
    [T, 2 B, num_classes], the second passes of all samples behind the first. Else [T, B, num_classes].

    Args:
        neuron: factory of the head's neurons, whose outputs are the logits.
        features, hidden, num_classes: sizes.
        bias: of the linear layers; 0 at the start.
        dropout: mean probability of dropping, in [0, 1); 0 leaves it, and the second pass, out.
    """

    def __init__(
        self, neuron: NeuronFactory, features: int, hidden: int, num_classes: int, *, bias: bool, dropout: float
    ) -> None:
        super().__init__()
        first, second = nn.Linear(features, hidden, bias=bias), nn.Linear(hidden, num_classes, bias=bias)
        for layer in (first, second):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        self.dropout = ModerateDropout(dropout)
        self.hidden = nn.Sequential(first, Lateral(), neuron(channels=hidden))
        self.classes = nn.Sequential(second, Lateral(), neuron(channels=num_classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.hidden(x)
        if self.training and self.dropout.p:
            x = self.dropout(torch.cat([x, x], 1))
        logits: Tensor = self.classes(x)
        return logits


class LTMDNet(Backbone):
    """Stages of (conv 3x3, norm, neuron) with a 2x2 average pool after each, and LTMD's head: its network for MNIST.

    No biases. All weights at PyTorch's default.

    Args:
        head_neuron: factory of the head's two layers of neurons.
        stages: number of convolutions in each stage.
        width: channels of every convolution.
        hidden: size of the hidden linear layer.
        moderate_dropout: see `LTMDHead`.
    """

    def __init__(
        self,
        *,
        neuron: NeuronFactory,
        norm: NormFactory,
        head_neuron: NeuronFactory,
        T: int,
        in_channels: int,
        num_classes: int,
        image_size: ImageSize,
        stages: Sequence[int] = (3, 3),
        width: int = 256,
        hidden: int = 2048,
        moderate_dropout: float = 0.2,
    ) -> None:
        stages = counts("backbone.stages", stages)
        width, hidden = count("backbone.width", width), count("backbone.hidden", hidden)
        super().__init__(
            T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=2 ** len(stages)
        )
        self.layers = conv_stages(in_channels, width, stages, unit_factory(norm, neuron), lambda: AvgPool2d(2))
        cells = (self.image_size[0] >> len(stages)) * (self.image_size[1] >> len(stages))
        self.head = LTMDHead(head_neuron, width * cells, hidden, num_classes, bias=False, dropout=moderate_dropout)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        x = self.layers[1](self.layers[0](x), repeats)
        for layer in self.layers[2:]:
            x = layer(x)
        return self.head(x.flatten(2))


class DenseLayer(nn.Module):
    """norm, neuron, conv 1x1, norm, neuron, conv 3x3: `growth` channels from all that came before."""

    def __init__(self, c_in: int, growth: int, bottleneck: int, unit: UnitFactory) -> None:
        super().__init__()
        self.unit1, self.conv1 = unit(c_in), conv1x1(c_in, bottleneck * growth)
        self.unit2, self.conv2 = unit(bottleneck * growth), conv3x3(bottleneck * growth, growth)

    def forward(self, x: Tensor) -> Tensor:
        x = self.unit2(self.conv1(self.unit1(x)))
        return self.conv2(x)


class DenseBlock(nn.ModuleList):
    """Dense layers, each of which reads the block's input and the outputs of all layers before it, as channels."""

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self:
            features.append(layer(torch.cat(features, 2)))
        return torch.cat(features, 2)


class DenseNet(Backbone):
    """A spiking DenseNet-BC (Huang et al., CVPR 2017) with LTMD's head.

    Conv 3x3, norm, neuron, conv 3x3 with stride 2; dense blocks, between them neuron, norm, conv 1x1 to half the
    channels and a 2x2 average pool; norm, neuron, global average; head. Between the blocks the neuron stands before
    the norm, other than within them: the official code registers it first, and its convolution so reads normalised
    spikes. Convolutions Kaiming normal over the fan in, linear weights and lateral connections at PyTorch's default,
    biases 0. With the defaults 6.82 M parameters on CIFAR-10.

    Args:
        head_neuron: factory of the head's two layers of neurons.
        blocks: number of dense layers in each block.
        growth: channels that a dense layer adds.
        bottleneck: channels of its 1x1 convolution, in multiples of growth.
        stem: channels of the first two convolutions.
        pool_first: a 3x3 average pool with stride 2 before everything, for frames of 128x128.
        hidden: size of the hidden linear layer.
        moderate_dropout: see `LTMDHead`.
    """

    def __init__(
        self,
        *,
        neuron: NeuronFactory,
        norm: NormFactory,
        head_neuron: NeuronFactory,
        T: int,
        in_channels: int,
        num_classes: int,
        image_size: ImageSize,
        blocks: Sequence[int] = (12, 12, 24),
        growth: int = 32,
        bottleneck: int = 4,
        stem: int = 256,
        pool_first: bool = False,
        hidden: int = 256,
        moderate_dropout: float = 0.2,
    ) -> None:
        blocks = counts("backbone.blocks", blocks)
        growth, bottleneck = count("backbone.growth", growth), count("backbone.bottleneck", bottleneck)
        stem, hidden = count("backbone.stem", stem), count("backbone.hidden", hidden)
        pools = flag("backbone.pool_first", pool_first)
        sizes: dict[str, Any] = {"in_channels": in_channels, "num_classes": num_classes, "image_size": image_size}
        super().__init__(T=T, **sizes, reduction=2 ** (len(blocks) + pools))
        unit = unit_factory(norm, neuron)
        self.pool = AvgPool2d(3, 2) if pools else None
        self.conv, self.unit, self.down = conv3x3(in_channels, stem), unit(stem), conv3x3(stem, stem, 2)
        self.layers = nn.ModuleList()
        c = stem
        for n, layers in enumerate(blocks):
            if n:
                self.layers.extend([neuron(channels=c), norm(c), conv1x1(c, c // 2), AvgPool2d(2)])
                c //= 2
            self.layers.append(DenseBlock(DenseLayer(c + i * growth, growth, bottleneck, unit) for i in range(layers)))
            c += layers * growth
        self.layers.append(unit(c))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        self.head = LTMDHead(head_neuron, c, hidden, num_classes, bias=True, dropout=moderate_dropout)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        if self.pool is not None:
            x = self.pool(x)
        x = self.down(self.unit(self.conv(x), repeats))
        for layer in self.layers:
            x = layer(x)
        return self.head(global_average(x))
