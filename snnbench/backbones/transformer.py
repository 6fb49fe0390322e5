"""Spikformer, Spikingformer and the Spike-driven Transformer: one network, of which they are variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from snnbench.backbones.attention import Attention, SpikeDrivenAttention, SpikingSelfAttention
from snnbench.backbones.base import Backbone, ImageSize
from snnbench.backbones.layers import NeuronFactory, NormFactory, conv1x1, global_average, unit_factory
from snnbench.backbones.patches import PatchSplitting, check_pools
from snnbench.check import choice, count, flag, number
from snnbench.errors import UserError


class MLP(nn.Module):
    """conv 1x1, norm, neuron, conv 1x1, both with bias: from dim channels to ratio * dim and back."""

    def __init__(self, dim: int, ratio: int, *, neuron: NeuronFactory, norm: NormFactory) -> None:
        super().__init__()
        hidden = dim * count("backbone.mlp_ratio", ratio)
        self.conv1, self.conv2 = conv1x1(dim, hidden, bias=True), conv1x1(hidden, dim, bias=True)
        self.unit = unit_factory(norm, neuron)(hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.unit(self.conv1(x)))


class TransformerBlock(nn.Module):
    """Attention, then an MLP, each with a residual connection.

    Args:
        dim: channels.
        attention: reads spikes.
        mlp_ratio: of the MLP's hidden channels to dim.
        neuron, norm: their factories.
        neuron_first: x + norm(f(neuron(x))): membranes are added, as in MS-ResNet. Else x + neuron(norm(f(x))): spikes
            are, as in SEW-ResNet.
        leave: the norm and neuron behind the attention, where they are others than behind the MLP.
    """

    def __init__(
        self,
        dim: int,
        attention: Attention,
        mlp_ratio: int,
        *,
        neuron: NeuronFactory,
        norm: NormFactory,
        neuron_first: bool,
        leave: nn.Module | None = None,
    ) -> None:
        super().__init__()
        unit = unit_factory(norm, neuron)
        self.entrances = nn.ModuleList(neuron(channels=dim) if neuron_first else nn.Identity() for _ in range(2))
        exits = [norm(dim) if neuron_first else unit(dim) for _ in range(2)]
        self.exits = nn.ModuleList([exits[0] if leave is None else leave, exits[1]])
        self.branches = nn.ModuleList([attention, MLP(dim, mlp_ratio, neuron=neuron, norm=norm)])

    def forward(self, x: Tensor) -> Tensor:
        for entrance, branch, leave in zip(self.entrances, self.branches, self.exits, strict=True):
            x = x + leave(branch(entrance(x)))
        return x


@dataclass(frozen=True)
class Variant:
    """What a paper's code has beside sizes.

    Attributes:
        position: see PatchSplitting.
        attention: its class.
        neuron_first: see TransformerBlock.
        head_neuron: whether a neuron fires on the average over the tokens before the last layer.
        linear_tokens: the layers of attention and MLP are linear ones there: with a bias in queries, keys and values,
            too, and they start from N(0, 0.02^2), bias 0.
        small_convs: all convolutions start so, and the linear layer does not.
    """

    position: str
    attention: type[SpikingSelfAttention] | type[SpikeDrivenAttention]
    neuron_first: bool
    head_neuron: bool = False
    linear_tokens: bool = False
    small_convs: bool = False


VARIANTS = {
    "spikformer": Variant("spikes", SpikingSelfAttention, neuron_first=False, linear_tokens=True),
    "spikformer_dvs": Variant("spikes", SpikingSelfAttention, neuron_first=False),
    "spikingformer": Variant("plain", SpikingSelfAttention, neuron_first=True),
    "sdt": Variant("membrane", SpikeDrivenAttention, neuron_first=True, head_neuron=True, small_convs=True),
}


def attention_neuron(neuron: NeuronFactory, v_th: float | None) -> NeuronFactory:
    """The factory of attention's own neurons: with the threshold `v_th`, or, where it is None, the network's."""
    number("backbone.attention_v_th", v_th, "(0, inf)", also=(None,), hint="null is the threshold of all the others.")
    if v_th is None:
        return neuron
    return lambda channels: neuron(channels=channels, v_th=v_th)


class SpikingTransformer(Backbone):
    """Spiking patch splitting, blocks of attention and MLP, average over the tokens, linear.

    Parameters that a paper's code has and never uses (layer norms, a position embedding) are left out.

    Args:
        variant: "spikformer" (Zhou et al., ICLR 2023, arXiv 2209.15425, its code for static images), "spikformer_dvs"
            (that for event frames), "spikingformer" (arXiv 2304.11954), or "sdt" (the Spike-driven Transformer, Yao et
            al., NeurIPS 2023, arXiv 2307.01694).
        width: channels of a token.
        depth: number of blocks.
        heads: of the attention; the result of "sdt" does not depend on it, unless it dilates.
        mlp_ratio: hidden channels of an MLP, in units of width.
        pools: after which of the four first convolutions height and width are halved.
        attention_v_th: threshold of the neuron behind each attention; None: that of all the others.
        scale: of the attention before that neuron; None for "sdt", which has none.
        dilate: see SpikeDrivenAttention, the only one that can.

    Raises:
        UserError: a size that does not fit, or `scale` or `dilate` where it has no effect.
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
        variant: str,
        width: int = 384,
        depth: int = 4,
        heads: int = 12,
        mlp_ratio: int = 4,
        pools: Sequence[bool] = (False, False, True, True),
        attention_v_th: float | None = 0.5,
        scale: float | None = 0.125,
        dilate: bool = False,
    ) -> None:
        pools = check_pools(pools)
        reduction = 2 ** sum(pools)
        super().__init__(
            T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=reduction
        )
        form = self.form = VARIANTS[choice("backbone.variant", variant, VARIANTS)]
        width, depth = count("backbone.width", width), count("backbone.depth", depth)
        makers: dict[str, Any] = {"neuron": neuron, "norm": norm}
        own = attention_neuron(neuron, attention_v_th)
        options: dict[str, Any] = {"unit": unit_factory(norm, neuron), "bias": form.linear_tokens}
        options |= _attention_options(variant, form, scale=scale, dilate=dilate)

        def block() -> TransformerBlock:
            attention = form.attention(width, heads, neuron=own, **options)
            return TransformerBlock(width, attention, mlp_ratio, neuron_first=form.neuron_first, **makers)

        self.patches = PatchSplitting(in_channels, width, pools=pools, position=form.position, **makers)
        self.blocks = nn.Sequential(*(block() for _ in range(depth)))
        self.neuron = neuron(channels=width) if form.head_neuron else nn.Identity()
        self.fc = nn.Linear(width, num_classes)
        self._start()

    def _start(self) -> None:
        """Weights of N(0, 0.02^2) and biases of 0 where the official code has them; else PyTorch's default."""
        small: list[nn.Module] = [] if self.form.small_convs else [self.fc]
        if self.form.linear_tokens or self.form.small_convs:
            small += [m for m in self.blocks.modules() if isinstance(m, nn.Conv2d)]
        if self.form.small_convs:
            small += [m for m in self.patches.modules() if isinstance(m, nn.Conv2d)]
        for layer in small:
            start_small(layer)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        return self.fc(self.neuron(global_average(self.blocks(self.patches(x, repeats)))))


def _attention_options(variant: str, form: Variant, *, scale: float | None, dilate: bool) -> dict[str, Any]:
    """What the variant's attention takes of the two; what it does not take must be None or false."""
    driven = form.attention is SpikeDrivenAttention
    if driven and scale is not None:
        raise UserError(f"backbone.scale={scale}: must be null with backbone.variant={variant}, which has none.")
    if not driven and flag("backbone.dilate", dilate):
        raise UserError(f"backbone.dilate=true: has no effect on backbone.variant={variant}; set it to false.")
    return {"dilate": dilate} if driven else {"scale": scale}


def start_small(layer: nn.Module) -> None:
    """Weights from N(0, 0.02^2), cut off at -2 and 2, bias 0."""
    nn.init.trunc_normal_(layer.get_parameter("weight"), std=0.02)
    if "bias" in dict(layer.named_parameters()):
        nn.init.zeros_(layer.get_parameter("bias"))
