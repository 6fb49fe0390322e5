"""Residual networks that fire after the sum: ResNet-20 and -19 for small images, ResNet-18 to -152 for ImageNet."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from snnbench.backbones.base import Backbone, ImageSize, init_convs, init_linear
from snnbench.backbones.fsta import attention_factory
from snnbench.backbones.layers import (
    AvgPool2d,
    Conv2d,
    MaxPool2d,
    NeuronFactory,
    NormFactory,
    conv3x3,
    global_average,
    unit_factory,
)
from snnbench.backbones.residual import EXPANSION, basic_stages, plan_stages
from snnbench.check import choice, count, flag
from snnbench.errors import UserError
from snnbench.neurons.base import spiking_layers

CONV_INITS = ("fan_out", "default")


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
    parameters, 17 layers of neurons; FC weights at PyTorch's default.
    Variant "braincog" (BrainCog repository): "tdbn" with a stem of 128 channels; the shortcut of the first block, whose
    shape does not change, is normalised all the same; 12.70 M parameters.

    Args:
        variant: "tdbn", "fsta", "sakd" or "braincog".
        width: channels of the first stage; the stem of "tdbn" and "sakd" and the hidden layer follow from it.
        blocks: number of basic blocks in each of the three stages.
        zero_init_last: start the last norm of each block at 0.
        balanced: a factor of 1 / sqrt(2) in the norms whose outputs are added (tdBN; not TET), in "braincog" in that of
            the stem, too.
        output_neuron: a neuron layer after the last linear layer; its spikes are the logits (tdBN).
        conv_init: "fan_out", Kaiming normal over the fan out, or "default", PyTorch's (TET, SAKD).
        fixed_ends: whether the neurons of the stem and of the head learn nothing (LT-SNN).
    """

    VARIANTS = ("tdbn", "fsta", "sakd", "braincog")

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
        fixed_ends: bool = False,
    ) -> None:
        super().__init__(T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=4)
        choice("backbone.variant", variant, self.VARIANTS)
        summand = {"gain": math.sqrt(0.5)} if flag("backbone.balanced", balanced) else {}
        braincog, hidden = variant == "braincog", variant in ("tdbn", "braincog")
        choice("backbone.conv_init", conv_init, CONV_INITS)
        widths = [count("backbone.width", width) * factor for factor in (1, 2, 4)]
        stem = width if variant == "fsta" or braincog else max(1, width // 2)
        unit = unit_factory(norm, neuron)
        self.conv = conv3x3(in_channels, stem)
        self.unit = unit(stem, **(summand if braincog else {}))
        first, *others = plan_stages(stem, widths, blocks)
        options = {"zero_init_last": zero_init_last, "balanced": balanced}
        self.stages = basic_stages([first], unit, norm, norm_shortcut=braincog, **options)
        self.stages.extend(basic_stages(others, unit, norm, **options))
        self.hidden = nn.Sequential()
        if hidden:
            self.hidden.extend([nn.Linear(widths[-1], 2 * width), neuron(channels=2 * width)])
        self.fc = nn.Linear(2 * width if hidden else widths[-1], num_classes)
        self.output = nn.Sequential()
        if flag("backbone.output_neuron", output_neuron):
            self.output.append(neuron(channels=num_classes))
        if flag("backbone.fixed_ends", fixed_ends):
            for layer in spiking_layers(nn.ModuleList([self.unit, self.hidden, self.output])).values():
                layer.freeze()
        if conv_init == "fan_out":
            init_convs(self)
        if variant == "fsta":
            init_linear(self.fc, 1 / self.fc.in_features)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        x = self.stages(self.unit(self.conv(x), repeats))
        return self.output(self.fc(self.hidden(global_average(x))))


class ResNet(Backbone):
    """ResNet-18 ([2, 2, 2, 2] blocks) and -34 ([3, 4, 6, 3]) for ImageNet; of bottlenecks, -50, -101 and -152.

    conv 7x7 stride 2, norm, neuron, pool 3x3 stride 2, four stages, global average, linear. 11.69 M, 21.80 M, 25.56 M,
    44.55 M and 60.19 M parameters (1000 classes); 17 and 33 neuron layers, of bottlenecks 49, 100 and 151.
    Variant "fsta" (MPBN, FSTA-SNN repositories): average pool, FC weights from N(0, 1 / fan_in^2).
    Variant "sew" (the plain Spiking ResNet of the SEW-ResNet repository): max pool, linear layer at PyTorch's default.
    Stem "cifar" (SAKD repository) is for small images: conv 3x3 stride 1, norm, neuron, and no pool; linear layer at
    PyTorch's default. Variants do not differ there.

    Args:
        variant: "fsta" or "sew".
        width: channels of the stem; the first stage has as many, or of bottlenecks four times as many.
        blocks: number of blocks in each of the four stages.
        stem: "imagenet" or "cifar".
        bottleneck: whether the blocks are bottlenecks.
        zero_init_last: start the last norm of each block at 0.
        balanced: a factor of 1 / sqrt(2) in the norms whose outputs are added (tdBN).
        attention: between each norm and its neuron, "fsta" or none.
        conv_init: "fan_out", Kaiming normal over the fan out, or "default", PyTorch's (ASGL).

    Raises:
        UserError: a size that does not fit, or variant "sew" where it has no effect.
    """

    VARIANTS = ("fsta", "sew")

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
        variant: str = "fsta",
        width: int = 64,
        stem: str = "imagenet",
        bottleneck: bool = False,
        zero_init_last: bool = False,
        balanced: bool = False,
        attention: str | None = None,
        conv_init: str = "fan_out",
    ) -> None:
        fsta = choice("backbone.variant", variant, self.VARIANTS) == "fsta"
        small = choice("backbone.stem", stem, ("imagenet", "cifar")) == "cifar"
        if small and not fsta:
            raise UserError(
                'backbone.variant=sew: has no effect with backbone.stem=cifar, which has no pool; set "fsta".'
            )
        reduction = 8 if small else 32
        super().__init__(
            T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=reduction
        )
        expansion = EXPANSION if flag("backbone.bottleneck", bottleneck) else 1
        widths = [count("backbone.width", width) * expansion * factor for factor in (1, 2, 4, 8)]
        unit = unit_factory(norm, neuron, attention_factory(attention, T))
        self.conv = (
            conv3x3(in_channels, width) if small else Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        )
        self.unit = unit(width)
        pool = AvgPool2d(3, 2, 1) if fsta else MaxPool2d(3, 2, 1)
        self.pool: nn.Module = nn.Identity() if small else pool
        plan = plan_stages(width, widths, blocks)
        flags = {"bottleneck": bottleneck, "balanced": flag("backbone.balanced", balanced)}
        self.stages = basic_stages(plan, unit, norm, zero_init_last=zero_init_last, **flags)
        self.fc = nn.Linear(widths[-1], num_classes)
        if choice("backbone.conv_init", conv_init, CONV_INITS) == "fan_out":
            init_convs(self)
        if fsta and not small:
            init_linear(self.fc, 1 / self.fc.in_features)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        return self.fc(global_average(self.stages(self.pool(self.unit(self.conv(x), repeats)))))
