"""SEW-ResNet: residual blocks that combine spikes after firing (Fang et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.backbones.base import Backbone, ImageSize, init_convs, zero_last_norm
from snnbench.backbones.layers import (
    AvgPool2d,
    Conv2d,
    MaxPool2d,
    NeuronFactory,
    NormFactory,
    UnitFactory,
    conv1x1,
    global_average,
    unit_factory,
)
from snnbench.backbones.residual import EXPANSION, Branch, plan_stages
from snnbench.check import choice, count, flag

CONNECT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda out, identity: out + identity,
    "and": lambda out, identity: out * identity,
    "iand": lambda out, identity: (1 - out) * identity,
}
STEMS = {"avg": AvgPool2d, "max": MaxPool2d}


class SEWBlock(Branch):
    """g(identity, out): out = the spikes of a whole branch; g adds spikes, or combines them by logic.

    Where the shape changes, the identity goes through a strided 1x1 convolution, a norm and a neuron of its own.

    Args:
        connect: the name of g.
        zero_init_last: start the branch's last norm so that the block begins as the identity.
        bottleneck: whether the branch is one.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        stride: int,
        *,
        unit: UnitFactory,
        connect: str,
        zero_init_last: bool,
        bottleneck: bool = False,
    ) -> None:
        super().__init__(c_in, c_out, stride, unit=unit, bottleneck=bottleneck)
        self.connect = choice("backbone.connect", connect, CONNECT)
        self.shortcut = nn.Sequential()
        if stride != 1 or c_in != c_out:
            self.shortcut.extend([conv1x1(c_in, c_out, stride), unit(c_out)])
        if flag("backbone.zero_init_last", zero_init_last):
            zero_last_norm(self.last_unit, bias=1.0 if connect == "and" else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        return CONNECT[self.connect](self.last_unit(self.current(x)), self.shortcut(x))


def sew_stages(plan: Iterable[tuple[int, int, int]], unit: UnitFactory, **options: Any) -> nn.Sequential:
    """The blocks of a plan; options are SEWBlock's."""
    return nn.Sequential(*(SEWBlock(*shape, unit=unit, **options) for shape in plan))


class StepOffset(nn.Module):
    """x [T or 1, B, ...] plus a learnt number of each timestep: [T, B, ...].

    `weight` [T, 1, 1, 1, 1] starts at a normal distribution of standard deviation 0.02, cut off at 2 (PSN's code).
    """

    def __init__(self, T: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.trunc_normal_(torch.empty(T, 1, 1, 1, 1), std=0.02))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


class SEWResNet(Backbone):
    """SEW-ResNet-18 ([2, 2, 2, 2] blocks) and -34 ([3, 4, 6, 3]) for ImageNet; of bottlenecks, -50, -101 and -152.

    conv 7x7 stride 2, norm, neuron, pool 3x3 stride 2, four stages, global average, linear. 11.69 M, 21.80 M, 25.56 M,
    44.55 M and 60.19 M parameters (1000 classes); 20 and 36 neuron layers, of bottlenecks 53, 104 and 155. Linear layer
    at PyTorch's default.

    Args:
        width: channels of the stem; the first stage has as many, or of bottlenecks four times as many.
        blocks: number of blocks in each of the four stages.
        bottleneck: whether the blocks are bottlenecks.
        pool: "max", or "avg" (PSN).
        connect: "add" (the paper's choice), "and" or "iand".
        zero_init_last: start the last norm of each block so that the block begins as the identity.
        step_offset: add a learnt number of each timestep to the image (PSN). The first convolution then runs T times.
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
        bottleneck: bool = False,
        pool: str = "max",
        connect: str = "add",
        zero_init_last: bool = False,
        step_offset: bool = False,
    ) -> None:
        super().__init__(T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=32)
        expansion = EXPANSION if flag("backbone.bottleneck", bottleneck) else 1
        widths = [count("backbone.width", width) * expansion * factor for factor in (1, 2, 4, 8)]
        unit = unit_factory(norm, neuron)
        self.conv = Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        self.unit = unit(width)
        self.pool = STEMS[choice("backbone.pool", pool, STEMS)](3, 2, 1)
        options = {"connect": connect, "zero_init_last": zero_init_last, "bottleneck": bottleneck}
        self.blocks = sew_stages(plan_stages(width, widths, blocks), unit, **options)
        self.fc = nn.Linear(widths[-1], num_classes)
        init_convs(self)
        self.offset = StepOffset(T) if flag("backbone.step_offset", step_offset) else None

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        if self.offset is not None:
            x, repeats = self.offset(x), 1
        return self.fc(global_average(self.blocks(self.pool(self.unit(self.conv(x), repeats)))))
