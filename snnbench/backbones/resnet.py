"""Residual networks that fire after the sum: ResNet-20 and -19 for small images, ResNet-18 and -34 for ImageNet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor, nn

from snnbench.backbones.base import Backbone, ImageSize, init_convs, init_linear, zero_last_norm
from snnbench.backbones.fsta import attention_factory
from snnbench.backbones.layers import (
    AvgPool2d,
    Conv2d,
    NeuronFactory,
    NormFactory,
    UnitFactory,
    conv1x1,
    conv3x3,
    global_average,
    unit_factory,
)
from snnbench.check import choice, count, counts, flag


class BasicBlock(nn.Module):
    """conv 3x3, norm, neuron, conv 3x3, norm, plus the shortcut, neuron.

    The shortcut carries spikes. Where the shape changes it is a 1x1 convolution and a norm.

    Args:
        average: whether the shortcut's stride is taken by an average pool before its convolution (ResNet-20), or by the
            convolution itself.
        balanced: whether norms whose outputs are added have 1 / sqrt(2) of a norm's standard deviation (tdBN, GLIF).
        norm_shortcut: whether the shortcut is normalised also where the shape does not change (GLIF).
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        stride: int,
        *,
        unit: UnitFactory,
        norm: NormFactory,
        average: bool = False,
        balanced: bool = False,
        norm_shortcut: bool = False,
    ) -> None:
        super().__init__()
        summand = {"gain": math.sqrt(0.5)} if balanced else {}
        self.conv1 = conv3x3(c_in, c_out, stride)
        self.unit1 = unit(c_out)
        self.conv2 = conv3x3(c_out, c_out)
        self.unit2 = unit(c_out, **summand)
        self.shortcut = nn.Sequential()
        changes = stride != 1 or c_in != c_out
        if average and stride != 1:
            self.shortcut.append(AvgPool2d(stride, ceil_mode=True, count_include_pad=False))
        if changes:
            self.shortcut.append(conv1x1(c_in, c_out, 1 if average else stride))
        if changes or norm_shortcut:
            self.shortcut.append(norm(c_out, **summand))

    def forward(self, x: Tensor) -> Tensor:
        s = self.unit1(self.conv1(x))
        return self.unit2(self.conv2(s), residual=self.shortcut(x))


def plan_stages(
    c_in: int, widths: Sequence[int], blocks: Sequence[int], strides: Sequence[int] | None = None
) -> Iterator[tuple[int, int, int]]:
    """(channels in, channels out, stride) of each block; by default every stage but the first halves the resolution."""
    blocks = counts("backbone.blocks", blocks, length=len(widths), hint="One number of blocks for each stage.")
    strides = [1] + [2] * (len(widths) - 1) if strides is None else strides
    for width, length, stride in zip(widths, blocks, strides, strict=True):
        for index in range(length):
            yield c_in, width, stride if index == 0 else 1
            c_in = width


def basic_stages(
    plan: Iterable[tuple[int, int, int]],
    unit: UnitFactory,
    norm: NormFactory,
    *,
    zero_init_last: bool = False,
    **options: bool,
) -> nn.Sequential:
    """The basic blocks of a plan; options are BasicBlock's."""
    stages = nn.Sequential()
    for shape in plan:
        block = BasicBlock(*shape, unit=unit, norm=norm, **options)
        if flag("backbone.zero_init_last", zero_init_last):
            zero_last_norm(block.unit2)
        stages.append(block)
    return stages


class ResNet20(Backbone):
    """The widened ResNet-20: three convolutions, pool, four stages of 64, 128, 256 and 512 channels.

    The "modified" ResNet-20 of the MPBN and FSTA-SNN repositories, 11.25 M parameters (10 classes), 19 neuron layers;
    not the classic CIFAR ResNet-20 of 0.27 M. FC weights from N(0, 1 / fan_in^2), as there.

    Args:
        width: channels of the stem and the first stage.
        blocks: number of basic blocks in each of the four stages.
        zero_init_last: start the last norm of each block at 0 (MPBN does, FSTA-SNN does not). The
            weights of the branches then get no gradient in the first step.
        attention: between each norm and its neuron, "fsta" or none.
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
        blocks: Sequence[int] = (2, 2, 2, 2),
        zero_init_last: bool = False,
        attention: str | None = None,
    ) -> None:
        super().__init__(T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=16)
        widths = [count("backbone.width", width) * factor for factor in (1, 2, 4, 8)]
        unit = unit_factory(norm, neuron, attention_factory(attention, T))
        self.convs = nn.ModuleList(conv3x3(c, width) for c in (in_channels, width, width))
        self.units = nn.ModuleList(unit(width) for _ in self.convs)
        self.pool = AvgPool2d(2)
        plan = plan_stages(width, widths, blocks)
        self.stages = basic_stages(plan, unit, norm, average=True, zero_init_last=zero_init_last)
        self.fc = nn.Linear(widths[-1], num_classes)
        init_convs(self)
        init_linear(self.fc, 1 / self.fc.in_features)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        for n, (conv, unit) in enumerate(zip(self.convs, self.units, strict=True)):
            x = unit(conv(x), repeats if n == 0 else 1)
        return self.fc(global_average(self.stages(self.pool(x))))


class ResNet19(Backbone):
    """ResNet-19: one convolution, three stages of 128, 256 and 512 channels.

    Variant "tdbn" (tdBN, TET repositories): stem of 64 channels, head 512-256-classes with a neuron layer between;
    12.63 M parameters (10 classes), 18 neuron layers; FC weights at PyTorch's default.
    Variant "fsta" (MPBN, FSTA-SNN repositories): stem of 128 channels, head 512-classes; 12.57 M parameters, 17 neuron
    layers; FC weights from N(0, 1 / fan_in^2).
    Variant "sakd" (the network without spikes of the SAKD repository): stem of 64 channels, head 512-classes; 12.50 M
    parameters, 17 layers of neurons; all weights at PyTorch's default.

    Args:
        variant: "tdbn", "fsta" or "sakd".
        width: channels of the first stage; the stem of "tdbn" and "sakd" and the hidden layer follow from it.
        blocks: number of basic blocks in each of the three stages.
        zero_init_last: start the last norm of each block at 0.
        balanced: a factor of 1 / sqrt(2) in the norms whose outputs are added (tdBN; not TET).
        output_neuron: a neuron layer after the last linear layer; its spikes are the logits (tdBN).
        conv_init: "fan_out", Kaiming normal over the fan out, or "default", PyTorch's (TET).
    """

    VARIANTS = ("tdbn", "fsta", "sakd")

    def __init__(
        self,
        *,
        neuron: NeuronFactory,
        norm: NormFactory,
        T: int,
        in_channels: int,
        num_classes: int,
        image_size: ImageSize,
        variant: str,
        width: int = 128,
        blocks: Sequence[int] = (3, 3, 2),
        zero_init_last: bool = False,
        balanced: bool = False,
        output_neuron: bool = False,
        conv_init: str = "fan_out",
    ) -> None:
        super().__init__(T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=4)
        choice("backbone.variant", variant, self.VARIANTS)
        flag("backbone.balanced", balanced)
        choice("backbone.conv_init", conv_init, ("fan_out", "default"))
        widths = [count("backbone.width", width) * factor for factor in (1, 2, 4)]
        stem = width if variant == "fsta" else max(1, width // 2)
        unit = unit_factory(norm, neuron)
        self.conv = conv3x3(in_channels, stem)
        self.unit = unit(stem)
        plan = plan_stages(stem, widths, blocks)
        self.stages = basic_stages(plan, unit, norm, zero_init_last=zero_init_last, balanced=balanced)
        self.hidden = nn.Sequential()
        if variant == "tdbn":
            self.hidden.extend([nn.Linear(widths[-1], 2 * width), neuron(channels=2 * width)])
        self.fc = nn.Linear(2 * width if variant == "tdbn" else widths[-1], num_classes)
        self.output = nn.Sequential()
        if flag("backbone.output_neuron", output_neuron):
            self.output.append(neuron(channels=num_classes))
        if conv_init == "fan_out" and variant != "sakd":
            init_convs(self)
        if variant == "fsta":
            init_linear(self.fc, 1 / self.fc.in_features)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        x = self.stages(self.unit(self.conv(x), repeats))
        return self.output(self.fc(self.hidden(global_average(x))))


class ResNet(Backbone):
    """ResNet-18 ([2, 2, 2, 2] blocks) and -34 ([3, 4, 6, 3]) for ImageNet, as in the FSTA-SNN and MPBN repositories.

    conv 7x7 stride 2, norm, neuron, average pool 3x3 stride 2, four stages, global average, linear. 11.69 M and 21.80 M
    parameters (1000 classes), 17 and 33 neuron layers. FC weights from N(0, 1 / fan_in^2).
    Stem "cifar" (SAKD repository) is for small images: conv 3x3 stride 1, norm, neuron, and no pool; FC weights at
    PyTorch's default.

    Args:
        width: channels of the stem and the first stage.
        blocks: number of basic blocks in each of the four stages.
        stem: "imagenet" or "cifar".
        zero_init_last: start the last norm of each block at 0.
        attention: between each norm and its neuron, "fsta" or none.
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
        stem: str = "imagenet",
        zero_init_last: bool = False,
        attention: str | None = None,
    ) -> None:
        small = choice("backbone.stem", stem, ("imagenet", "cifar")) == "cifar"
        reduction = 8 if small else 32
        super().__init__(
            T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=reduction
        )
        widths = [count("backbone.width", width) * factor for factor in (1, 2, 4, 8)]
        unit = unit_factory(norm, neuron, attention_factory(attention, T))
        self.conv = (
            conv3x3(in_channels, width) if small else Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        )
        self.unit = unit(width)
        self.pool: nn.Module = nn.Identity() if small else AvgPool2d(3, 2, 1)
        self.stages = basic_stages(plan_stages(width, widths, blocks), unit, norm, zero_init_last=zero_init_last)
        self.fc = nn.Linear(widths[-1], num_classes)
        init_convs(self)
        if not small:
            init_linear(self.fc, 1 / self.fc.in_features)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        return self.fc(global_average(self.stages(self.pool(self.unit(self.conv(x), repeats)))))
