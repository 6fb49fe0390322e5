"""SEW-ResNet: residual blocks that combine spikes after firing (Fang et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from snnbench.backbones.base import Backbone, ImageSize, init_convs, zero_last_norm
from snnbench.backbones.layers import (
    Conv2d,
    MaxPool2d,
    NeuronFactory,
    NormFactory,
    UnitFactory,
    conv1x1,
    conv3x3,
    global_average,
    unit_factory,
)
from snnbench.backbones.resnet import plan_stages
from snnbench.check import choice, count, flag

CONNECT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda out, identity: out + identity,
    "and": lambda out, identity: out * identity,
    "iand": lambda out, identity: (1 - out) * identity,
}


class SEWBlock(nn.Module):
    """g(identity, out): out = conv 3x3, norm, neuron, conv 3x3, norm, neuron; g adds spikes, or combines them by logic.

    Where the shape changes, the identity goes through a strided 1x1 convolution, a norm and a neuron of its own.
    """

    def __init__(
        self, c_in: int, c_out: int, stride: int, *, unit: UnitFactory, connect: str, zero_init_last: bool
    ) -> None:
        super().__init__()
        self.connect = connect
        self.conv1 = conv3x3(c_in, c_out, stride)
        self.unit1 = unit(c_out)
        self.conv2 = conv3x3(c_out, c_out)
        self.unit2 = unit(c_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or c_in != c_out:
            self.shortcut.extend([conv1x1(c_in, c_out, stride), unit(c_out)])
        if zero_init_last:
            zero_last_norm(self.unit2, bias=1.0 if connect == "and" else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        out = self.unit2(self.conv2(self.unit1(self.conv1(x))))
        return CONNECT[self.connect](out, self.shortcut(x))


class SEWResNet(Backbone):
    """SEW-ResNet-18 ([2, 2, 2, 2] blocks) and -34 ([3, 4, 6, 3]) for ImageNet.

    conv 7x7 stride 2, norm, neuron, max pool 3x3 stride 2, four stages, global average, linear. 11.69 M and 21.80 M
    parameters (1000 classes), 20 and 36 neuron layers. Linear layer at PyTorch's default.

    Args:
        width: channels of the stem and the first stage.
        blocks: number of blocks in each of the four stages.
        connect: "add" (the paper's choice), "and" or "iand".
        zero_init_last: start the last norm of each block so that the block begins as the identity.
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
        connect: str = "add",
        zero_init_last: bool = False,
    ) -> None:
        super().__init__(T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=32)
        choice("backbone.connect", connect, CONNECT)
        flag("backbone.zero_init_last", zero_init_last)
        widths = [count("backbone.width", width) * factor for factor in (1, 2, 4, 8)]
        unit = unit_factory(norm, neuron)
        self.conv = Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        self.unit = unit(width)
        self.pool = MaxPool2d(3, 2, 1)
        self.blocks = nn.Sequential(
            *(
                SEWBlock(*shape, unit=unit, connect=connect, zero_init_last=zero_init_last)
                for shape in plan_stages(width, widths, blocks)
            )
        )
        self.fc = nn.Linear(widths[-1], num_classes)
        init_convs(self)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        return self.fc(global_average(self.blocks(self.pool(self.unit(self.conv(x), repeats)))))


class SEWResNet19(Backbone):
    """ResNet-19 of SEW blocks for small images, as in the MPD-AGL repository.

    conv 3x3, norm, neuron; stages of 128, 256 and 512 channels whose blocks add spikes; global average; linear, norm,
    neuron; linear. No biases but the norms'. 12.70 M parameters (10 classes), 20 neuron layers. Linear weights at
    PyTorch's default.

    Args:
        width: channels of the stem and the first stage; the hidden linear layer has twice as many.
        blocks: number of blocks in each of the three stages.
        connect: "add", "and" or "iand".
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
        width: int = 128,
        blocks: Sequence[int] = (3, 3, 2),
        connect: str = "add",
    ) -> None:
        super().__init__(T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=4)
        choice("backbone.connect", connect, CONNECT)
        widths = [count("backbone.width", width) * factor for factor in (1, 2, 4)]
        unit = unit_factory(norm, neuron)
        self.conv = conv3x3(in_channels, width)
        self.unit = unit(width)
        self.blocks = nn.Sequential(
            *(
                SEWBlock(*shape, unit=unit, connect=connect, zero_init_last=False)
                for shape in plan_stages(width, widths, blocks)
            )
        )
        self.hidden = nn.Sequential(nn.Linear(widths[-1], 2 * width, bias=False), unit(2 * width))
        self.fc = nn.Linear(2 * width, num_classes, bias=False)
        init_convs(self)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        return self.fc(self.hidden(global_average(self.blocks(self.unit(self.conv(x), repeats)))))
