"""The network of surrogate module learning (SML; Deng et al., ICML 2023): modules without spikes beside a ResNet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from snnbench.backbones.base import ImageSize, init_convs
from snnbench.backbones.layers import AdaptiveAvgPool2d, Conv2d, NeuronFactory, NormFactory, global_average
from snnbench.backbones.norms import BatchNorm
from snnbench.backbones.residual import BasicBlock
from snnbench.backbones.resnet import ResNet
from snnbench.check import count, counts

CONVOLUTIONS = ((7, 2), (5, 2), (3, 1))  # kernel and stride


class SurrogateModule(nn.Module):
    """A network without spikes from the time-mean of features, [T, B, C, H, W], to logits [1, B, num_classes].

    Three convolutions, a 2x2 grid of averages, and two linear layers; behind all but the last a batch norm and a leaky
    ReLU.

    Args:
        c_in: channels of the features.
        width: channels of the convolutions.
        hidden: size of the hidden linear layer.
        num_classes: logits for each sample.
    """

    def __init__(self, c_in: int, width: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for kernel, stride in CONVOLUTIONS:
            conv = Conv2d(c_in, width, kernel, stride, padding=kernel // 2, bias=False)
            self.layers.extend([conv, BatchNorm(width), nn.LeakyReLU()])
            c_in = width
        self.layers.extend([AdaptiveAvgPool2d(2), nn.Flatten(2), nn.Linear(4 * width, hidden)])
        self.layers.extend([BatchNorm(hidden), nn.LeakyReLU(), nn.Linear(hidden, num_classes)])

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x.mean(0, keepdim=True))
        return logits


class SMLResNet(ResNet):
    """The ResNet for small images ("cifar" stem), with surrogate modules behind some of its blocks.

    In training their logits stand as further passes behind its own, [T, (1 + modules) B, num_classes], each module's
    the same at every timestep. In evaluation it is the ResNet alone. (The official code puts a 1x1 convolution first
    where a block has more channels than its module; here no module has one.)

    Args:
        blocks: number of blocks in each of the four stages.
        width: channels of the stem and the first stage.
        modules_after: the numbers of the blocks that a module follows, counted from 1.
        module_width, module_hidden: see `SurrogateModule`.
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
        blocks: Sequence[int] = (2, 2, 2, 2),
        width: int = 64,
        modules_after: Sequence[int] = (3, 6),
        module_width: int = 256,
        module_hidden: int = 512,
    ) -> None:
        super().__init__(
            neuron=neuron,
            norm=norm,
            T=T,
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            blocks=blocks,
            width=width,
            stem="cifar",
        )
        channels = [block.out_channels for block in self.stages if isinstance(block, BasicBlock)]
        after = counts("backbone.modules_after", modules_after, 1, len(channels), hint="They are numbers of blocks.")
        sizes = (count("backbone.module_width", module_width), count("backbone.module_hidden", module_hidden))
        self.aside = nn.ModuleDict(
            {str(n): SurrogateModule(channels[n - 1], *sizes, num_classes) for n in sorted({*after})}
        )
        init_convs(self.aside)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        if not self.training:
            return super().logits(x, repeats)
        x = self.unit(self.conv(x), repeats)
        aside = []
        for n, block in enumerate(self.stages, start=1):
            x = block(x)
            if str(n) in self.aside:
                aside.append(self.aside[str(n)](x))
        own = self.fc(global_average(x))
        return torch.cat([own, *(one.expand_as(own) for one in aside)], 1)
