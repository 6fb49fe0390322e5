"""VGG-11, -13, -16 with average pools, and VGGSNN."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from torch import Tensor, nn

from snnbench.backbones.base import Backbone, ImageSize, init_convs, init_linear
from snnbench.backbones.heads import Dropout, OutputUnit
from snnbench.backbones.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    NeuronFactory,
    NormFactory,
    conv3x3,
    unit_factory,
)
from snnbench.check import count, flag, number, shown
from snnbench.errors import UserError


class VGG(Backbone):
    """(conv 3x3, norm, neuron, dropout) and average pools; adaptive average pool to a grid; linear.

    With a 7x7 grid the VGG-11 and -13 of CLIF, AR-LIF and SLTT (9.50 M with 2 channels and 11 classes, 14.43 M with 200
    classes; 8 and 10 neuron layers); with a 1x1 grid the VGG-16 of MPBN (14.73 M with 10 classes, 13 neuron layers).
    All of these have biases, which start at 0, and linear weights from N(0, 0.01^2).

    Args:
        width: channels of a convolution with entry 1 in the layout.
        layout: one entry for each layer: a convolution's channels in units of `width`, or "M" for a 2x2 average pool.
        grid: height and width of the map that the linear layer reads.
        dropout: probability, after each neuron layer.
        dropout_per_step: whether each timestep draws its own mask (DSR).
        spiking_head: whether a norm and a neuron layer follow on the linear layer and give the logits (DSR).
        bias: whether the convolutions and the linear layer have one (ASGL: none).
        init_std: where a number, all weights start from N(0, init_std^2) (ASGL: 0.5).
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
        layout: Sequence[int | str],
        grid: int,
        width: int = 64,
        dropout: float = 0.0,
        dropout_per_step: bool = False,
        spiking_head: bool = False,
        bias: bool = True,
        init_std: float | None = None,
    ) -> None:
        channels = list(_channels(layout, count("backbone.width", width)))
        super().__init__(
            T=T,
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            reduction=2 ** channels.count(None),
        )
        unit = unit_factory(norm, neuron)
        self.layers = nn.ModuleList()
        c_in = in_channels
        for c_out in channels:
            if c_out is None:
                self.layers.append(AvgPool2d(2))
                continue
            conv = conv3x3(c_in, c_out, bias=flag("backbone.bias", bias))
            self.layers.extend([conv, unit(c_out), Dropout(dropout, per_step=dropout_per_step)])
            c_in = c_out
        grid = count("backbone.grid", grid)
        self.grid = AdaptiveAvgPool2d(grid)
        self.fc = nn.Linear(c_in * grid * grid, num_classes, bias)
        spikes = flag("backbone.spiking_head", spiking_head)
        self.output = OutputUnit(num_classes, unit) if spikes else nn.Identity()
        std = _std(init_std)
        init_convs(self, zero_bias=True, std=std)
        init_linear(self.fc, 0.01 if std is None else std)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        x = self.layers[1](self.layers[0](x), repeats)
        for layer in self.layers[2:]:
            x = layer(x)
        return self.output(self.fc(self.grid(x).flatten(2)))


def _channels(layout: Sequence[int | str], width: int) -> Iterator[int | None]:
    """The channels of each convolution, and None for each pool."""
    if not isinstance(layout, Sequence) or not layout or layout[0] == "M":
        raise UserError(f"backbone.layout={shown(layout)}: must be a list that starts with a convolution.")
    hint = "A number is the channels of a convolution in units of backbone.width, M a pool."
    for entry in layout:
        channels = count("backbone.layout", entry, also=("M",), hint=hint)
        yield channels * width if isinstance(channels, int) else None


def _std(value: float | None) -> float | None:
    return number("backbone.init_std", value, "(0, inf)", also=(None,))


class VGGSNN(Backbone):
    """Eight (conv 3x3, norm, neuron) of 64 to 512 channels, a pool after every second; dropout; linear.

    The network of TET, PSN, CLIF and AR-LIF: 9.27 M parameters (48x48, 2 channels, 10 classes), 10.86 M (64x64, 3
    channels, 200 classes), 8 neuron layers. The linear layer reads the whole last map. Biases and linear weights at
    PyTorch's default.

    Args:
        width: channels of the first convolution.
        dropout: probability, before the linear layer (TET none, PSN and AR-LIF 0.25).
        dropout_per_step: whether each timestep draws its own mask (PSN, AR-LIF).
        bias: whether the convolutions have one (MPD-AGL, ASGL: none).
        head_bias: whether the linear layer has one (ASGL: none).
        init_std: where a number, all weights start from N(0, init_std^2) (ASGL: 0.5).
        amplitude: what a spike is to the layer that reads it (ASGL: 0.5, its threshold).
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
        dropout: float = 0.0,
        dropout_per_step: bool = False,
        bias: bool = True,
        head_bias: bool = True,
        init_std: float | None = None,
        amplitude: float = 1.0,
    ) -> None:
        super().__init__(T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=16)
        channels = [in_channels, *(count("backbone.width", width) * factor for factor in (1, 2, 4, 4, 8, 8, 8, 8))]
        unit = unit_factory(norm, neuron)
        self.convs = nn.ModuleList(conv3x3(*pair, bias=flag("backbone.bias", bias)) for pair in pairwise(channels))
        self.units = nn.ModuleList(unit(c) for c in channels[1:])
        self.pool = AvgPool2d(2)
        self.dropout = Dropout(dropout, per_step=dropout_per_step)
        cells = (self.image_size[0] // 16) * (self.image_size[1] // 16)
        self.fc = nn.Linear(channels[-1] * cells, num_classes, flag("backbone.head_bias", head_bias))
        self.amplitude = number("backbone.amplitude", amplitude, "(0, inf)")
        std = _std(init_std)
        init_convs(self, std=std)
        if std is not None:
            init_linear(self.fc, std)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        for n, (conv, unit) in enumerate(zip(self.convs, self.units, strict=True)):
            x = unit(conv(x), repeats if n == 0 else 1)
            if n % 2 == 1:
                x = self.pool(x)
            if self.amplitude != 1:
                x = x * self.amplitude
        return self.fc(self.dropout(x.flatten(2)))
