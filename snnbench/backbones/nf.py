"""NF-ResNet: residual networks without norms, whose weights are standardised instead (Brock et al., ICLR 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from snnbench.backbones.base import Backbone, ImageSize, init_convs
from snnbench.backbones.layers import AvgPool2d, Conv2d, NeuronFactory, NormFactory, global_average
from snnbench.backbones.residual import plan_stages
from snnbench.check import count, flag, number
from snnbench.kernels import repeat

SPIKE_GAIN = 2.74  # of spikes, so that what a convolution reads has about the variance of its weights' theory


class StandardisedConv2d(Conv2d):
    """A convolution with bias whose kernel is gain * (w - mean w) / sqrt(n var w + 1e-4), by output channel.

    n is the number of a channel's weights, of which var is the unbiased variance. "Scaled weight standardisation".

    Args:
        scale: multiplies the kernel: what officially multiplies the spikes that it reads.
    """

    EPS = 1e-4

    def __init__(self, c_in: int, c_out: int, k: int, stride: int = 1, *, scale: float = 1.0) -> None:
        super().__init__(c_in, c_out, k, stride=stride, padding=k // 2)
        self.gain = nn.Parameter(torch.ones(c_out, 1, 1, 1))
        self.scale = scale

    def kernel(self) -> Tensor:
        var, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        standard = (self.weight - mean) / (var * self.weight[0].numel() + self.EPS).sqrt()
        return standard * self.gain * self.scale


class SkipGain(nn.Module):
    """weight * alpha * x, of which the number `weight` is learnt."""

    def __init__(self, start: float, alpha: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((), start))
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight * self.alpha


class NFBlock(nn.Module):
    """neuron(x / beta), conv 3x3, neuron, conv 3x3, gain, plus the shortcut; membrane potentials are added.

    The shortcut is x, or, where the shape changes, a strided 1x1 convolution of the block's first spikes.

    Args:
        beta: standard deviation that x has by the variances of the blocks before.
        alpha: of the branch.
        gain: what the branch's learnt number starts with.
    """

    def __init__(
        self, c_in: int, c_out: int, stride: int, *, neuron: NeuronFactory, beta: float, alpha: float, gain: float
    ) -> None:
        super().__init__()
        self.beta = beta
        self.neurons = nn.ModuleList([neuron(channels=c_in), neuron(channels=c_out)])
        self.convs = nn.ModuleList([
            StandardisedConv2d(c_in, c_out, 3, stride, scale=SPIKE_GAIN),
            StandardisedConv2d(c_out, c_out, 3, scale=SPIKE_GAIN),
        ])  # fmt: skip
        changes = stride != 1 or c_in != c_out
        self.shortcut = StandardisedConv2d(c_in, c_out, 1, stride, scale=SPIKE_GAIN) if changes else None
        self.gain = SkipGain(gain, alpha)

    def forward(self, x: Tensor, repeats: int = 1) -> Tensor:
        current = x / self.beta
        spikes = self.neurons[0](repeat(current, repeats) if repeats > 1 else current)
        identity = x if self.shortcut is None else self.shortcut(spikes)
        return self.gain(self.convs[1](self.neurons[1](self.convs[0](spikes)))) + identity


class NFResNet(Backbone):
    """SLTT's spiking NF-ResNet for ImageNet (Meng et al., ICCV 2023, arXiv 2302.14311): -34 has [3, 4, 6, 3] blocks.

    conv 7x7 stride 2, average pool 3x3 stride 2, four stages of blocks, global average of the potentials, linear. All
    convolutions are standardised. 21.80 M parameters (-34, 1000 classes), 32 neuron layers.

    Args:
        norm: of no use here; every network is given one.
        width: channels of the stem and the first stage.
        blocks: number of blocks in each of the four stages.
        alpha: of each block's branch; each adds alpha^2 to the variance that the next one expects.
        zero_init_last: each branch's learnt number and the last layer's weights start at 0, so that the first step
            moves the last layer alone; else at 1, and by PyTorch's default.
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
        alpha: float = 0.2,
        zero_init_last: bool = True,
    ) -> None:
        super().__init__(T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=32)
        alpha, zero = number("backbone.alpha", alpha, "(0, inf)"), flag("backbone.zero_init_last", zero_init_last)
        widths = [count("backbone.width", width) * factor for factor in (1, 2, 4, 8)]
        self.conv = StandardisedConv2d(in_channels, width, 7, 2)
        self.pool = AvgPool2d(3, 2, 1)
        self.blocks, variance = nn.ModuleList(), 1.0
        for shape in plan_stages(width, widths, blocks):
            options = {"beta": variance**0.5, "alpha": alpha, "gain": 0.0 if zero else 1.0}
            self.blocks.append(NFBlock(*shape, neuron=neuron, **options))
            variance = (1.0 if self.blocks[-1].shortcut is not None else variance) + alpha**2
        self.fc = nn.Linear(widths[-1], num_classes)
        if zero:
            nn.init.zeros_(self.fc.weight)
        init_convs(self, zero_bias=True)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        x = self.pool(self.conv(x))
        for n, block in enumerate(self.blocks):
            x = block(x, repeats if n == 0 else 1)
        return self.fc(global_average(x))
