"""The pre-activation ResNet-18 of the CLIF and AR-LIF tables."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from snnbench.backbones.base import Backbone, ImageSize, init_convs
from snnbench.backbones.heads import Dropout, OutputUnit
from snnbench.backbones.layers import (
    NeuronFactory,
    NormFactory,
    UnitFactory,
    conv1x1,
    conv3x3,
    global_average,
    unit_factory,
)
from snnbench.backbones.residual import plan_stages
from snnbench.check import count, flag


class PreActBlock(nn.Module):
    """norm, neuron, conv 3x3, norm, neuron, dropout, conv 3x3, plus the shortcut, which takes the first spikes.

    The convolutions have a bias, as in the CLIF repository, although the next norm removes it; where the shape changes
    the shortcut is a 1x1 convolution without a norm.
    """

    def __init__(self, c_in: int, c_out: int, stride: int, *, unit: UnitFactory, dropout: float) -> None:
        super().__init__()
        self.unit1 = unit(c_in)
        self.conv1 = conv3x3(c_in, c_out, stride, bias=True)
        self.unit2 = unit(c_out)
        self.dropout = Dropout(dropout)
        self.conv2 = conv3x3(c_out, c_out, bias=True)
        changes = stride != 1 or c_in != c_out
        self.shortcut = conv1x1(c_in, c_out, stride, bias=True) if changes else nn.Identity()

    def forward(self, x: Tensor, repeats: int = 1) -> Tensor:
        s = self.unit1(x, repeats)
        return self.conv2(self.dropout(self.unit2(self.conv1(s)))) + self.shortcut(s)


class PreActResNet(Backbone):
    """conv 3x3, four stages of pre-activation blocks, norm, neuron, global average, dropout, linear.

    With [2, 2, 2, 2] blocks the "ResNet-18" of CLIF, AR-LIF and SLTT: 11.18 M parameters (10 classes), 17 neuron
    layers; DSR's has two more, behind the pool and behind the linear layer. The original ends in a 4x4 average pool,
    which for 32x32 images is the global average. Linear weights at PyTorch's default, bias 0.

    Args:
        width: channels of the stem and the first stage.
        blocks: number of blocks in each of the four stages.
        dropout: probability, before the second convolution of each block and before the linear layer.
        spiking_head: whether the average and the linear layer's norm go through neurons, the last of which give the
            logits (DSR).
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
        dropout: float = 0.0,
        spiking_head: bool = False,
    ) -> None:
        super().__init__(T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=8)
        widths = [count("backbone.width", width) * factor for factor in (1, 2, 4, 8)]
        unit = unit_factory(norm, neuron)
        self.conv = conv3x3(in_channels, width)
        self.blocks = nn.ModuleList(
            PreActBlock(*shape, unit=unit, dropout=dropout) for shape in plan_stages(width, widths, blocks)
        )
        self.unit = unit(widths[-1])
        self.dropout = Dropout(dropout)
        self.fc = nn.Linear(widths[-1], num_classes)
        spikes = flag("backbone.spiking_head", spiking_head)
        self.pooled = neuron(channels=widths[-1]) if spikes else nn.Identity()
        self.output = OutputUnit(num_classes, unit) if spikes else nn.Identity()
        init_convs(self)
        nn.init.zeros_(self.fc.bias)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        x = self.conv(x)
        for n, block in enumerate(self.blocks):
            x = block(x, repeats if n == 0 else 1)
        return self.output(self.fc(self.dropout(self.pooled(global_average(self.unit(x))))))
