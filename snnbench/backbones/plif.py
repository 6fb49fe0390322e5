"""The networks of the PLIF paper (Fang et al., ICCV 2021)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from snnbench.backbones.base import Backbone, ImageSize
from snnbench.backbones.heads import Dropout, Voting
from snnbench.backbones.layers import (
    NeuronFactory,
    NormFactory,
    conv_stages,
    make_pool,
    unit_factory,
)
from snnbench.check import count, counts


class PLIFNet(Backbone):
    """Stages of (conv 3x3, norm, neuron) with a 2x2 pool after each; dropout, linear, neuron, twice; voting.

    No biases. The logits of a timestep are the firing rates of each class's voters, so multiples of 1 / voters in
    [0, 1]. All weights at PyTorch's default.

    Args:
        width: channels of every convolution.
        stages: number of convolutions in each stage.
        hidden: size of the hidden linear layer.
        voters: neurons for each class in the last layer.
        pool: "max" or "avg".
        dropout: probability, before the first linear layer.
        hidden_dropout: probability, before the second.
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
        stages: Sequence[int],
        width: int,
        hidden: int,
        voters: int = 10,
        pool: str = "max",
        dropout: float = 0.5,
        hidden_dropout: float = 0.5,
    ) -> None:
        stages = counts("backbone.stages", stages)
        width, hidden = count("backbone.width", width), count("backbone.hidden", hidden)
        voters = count("backbone.voters", voters)
        super().__init__(
            T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=2 ** len(stages)
        )
        self.layers = conv_stages(in_channels, width, stages, unit_factory(norm, neuron), lambda: make_pool(pool))
        cells = (self.image_size[0] >> len(stages)) * (self.image_size[1] >> len(stages))
        self.head = nn.Sequential(
            nn.Flatten(2),
            Dropout(dropout),
            nn.Linear(width * cells, hidden, bias=False),
            neuron(channels=hidden),
            Dropout(hidden_dropout, key="backbone.hidden_dropout"),
            nn.Linear(hidden, num_classes * voters, bias=False),
            neuron(channels=num_classes * voters),
            Voting(voters),
        )

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        x = self.layers[1](self.layers[0](x), repeats)
        for layer in self.layers[2:]:
            x = layer(x)
        return self.head(x)
