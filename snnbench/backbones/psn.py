"""The networks of the PSN paper (Fang et al., NeurIPS 2023) for CIFAR: on whole images, and on one column at a time."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from snnbench.backbones.base import Backbone, ImageSize
from snnbench.backbones.layers import AvgPool2d, Conv2d, NeuronFactory, NormFactory, unit_factory
from snnbench.check import count, counts
from snnbench.errors import UserError
from snnbench.neurons.psn import SlidingPSN

STAGES, CONVS = 2, 3


class PSNNet(Backbone):
    """2 x (3 x (conv 3x3, norm, neuron), average pool); linear to a quarter, neuron, linear.

    The PSN authors' modification of the PLIF network: average pools, no dropout, no voting. 70.11 M parameters (10
    classes, width 256), 7 neuron layers. All weights at PyTorch's default.

    Args:
        width: channels of every convolution.
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
        width: int = 256,
    ) -> None:
        super().__init__(
            T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=2**STAGES
        )
        height, columns = self.image_size
        cells = (height >> STAGES) * (columns >> STAGES)
        neurons = itertools.repeat(neuron)
        self._build(neurons, norm, in_channels, num_classes, count("backbone.width", width), cells, (3, 3))

    def _build(
        self,
        neurons: Iterator[NeuronFactory],
        norm: NormFactory,
        c_in: int,
        num_classes: int,
        width: int,
        cells: int,
        kernel: tuple[int, int],
    ) -> None:
        pool = (2, 2 if kernel[1] > 1 else 1)
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.layers = nn.ModuleList()
        for _ in range(STAGES):
            for _ in range(CONVS):
                unit = unit_factory(norm, next(neurons))(width)
                self.layers.extend([Conv2d(c_in, width, kernel, padding=padding, bias=False), unit])
                c_in = width
            self.layers.append(AvgPool2d(pool))
        features = width * cells
        hidden = max(1, features // 4)
        self.head = nn.Sequential(
            nn.Flatten(2), nn.Linear(features, hidden), next(neurons)(channels=hidden), nn.Linear(hidden, num_classes)
        )

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        x = self.layers[1](self.layers[0](x), repeats)
        for layer in self.layers[2:]:
            x = layer(x)
        return self.head(x)


class SeqNet(PSNNet):
    """The network for sequential CIFAR: an image enters column by column, from left to right, one a timestep.

    2 x (3 x (1-D conv of 3 along the height, norm, neuron), average pool); linear to a quarter, neuron, linear. 0.51 M
    parameters on 10 classes with width 128, 7 neuron layers. All weights at PyTorch's default. Statistics of the norms,
    with norm=bn, are over T, B and the height.

    With T below the image's width each timestep sees a strip of ceil(width / T) columns, side by side as channels; what
    lacks at the right is 0. The published protocol has T = 32, the width of a CIFAR image.

    Args:
        width: channels of every convolution.
        dilations: how many timesteps lie between the inputs that a neuron sees, layer by layer, again and again from
            the first. Sliding and channel-wise PSNs take it; other neurons have no dilation.
    """

    in_parts = True

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
        dilations: Sequence[int] | None = None,
    ) -> None:
        Backbone.__init__(
            self, T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=2**STAGES
        )
        height, columns = self.image_size
        if columns < T:
            raise UserError(f"T={T}: the image has {columns} columns, and each timestep needs one. Use T={columns}.")
        self.strip = -(-columns // T)
        cells = height >> STAGES
        neurons = itertools.repeat(neuron) if dilations is None else _dilated(neuron, dilations)
        self._build(neurons, norm, in_channels * self.strip, num_classes, count("backbone.width", width), cells, (3, 1))

    def columns(self, image: Tensor) -> Tensor:
        """[B, C, H, W] as a sequence [T, B, C * strip, H, 1]."""
        missing = self.T * self.strip - image.shape[-1]
        strips = functional.pad(image, (0, missing)).unflatten(-1, (self.T, self.strip))  # [B, C, H, T, strip]
        return strips.permute(3, 0, 1, 4, 2).flatten(2, 3).unsqueeze(-1)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        if x.shape[0] != 1:
            raise ValueError(f"SeqNet reads still images [B, C, H, W] column by column, got frames {list(x.shape)}")
        columns = self.columns(x[0])
        return super().logits(self._laid(columns.flatten(0, 1)).unflatten(0, columns.shape[:2]), 1)


def _dilated(neuron: NeuronFactory, dilations: Sequence[int]) -> Iterator[NeuronFactory]:
    """A factory for each layer in turn."""

    def make(dilation: int, **options: Any) -> nn.Module:
        layer = neuron(**options)
        if isinstance(layer, SlidingPSN):
            layer.dilation = dilation
        return layer

    return (functools.partial(make, dilation) for dilation in itertools.cycle(counts("backbone.dilations", dilations)))
