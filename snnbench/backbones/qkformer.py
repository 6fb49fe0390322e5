"""QKFormer: stages of fewer and fewer tokens, with a cheap attention in all but the last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from snnbench.backbones.attention import Attention, SpikingSelfAttention, TokenAttention
from snnbench.backbones.base import Backbone, ImageSize
from snnbench.backbones.layers import NeuronFactory, NormFactory, global_average, unit_factory
from snnbench.backbones.patches import ShortcutEmbedding
from snnbench.backbones.transformer import TransformerBlock, attention_neuron, start_small
from snnbench.check import choice, count, flag
from snnbench.errors import UserError


@dataclass(frozen=True)
class Entrance:
    """How the image becomes the first stage's tokens.

    Attributes:
        parts: channels of the embedding's convolutions: dim divided by these.
        pools: which of them are followed by a pool.
        past: see ShortcutEmbedding.
        token_blocks: of each stage of token attention before the last one; a stage has half as many channels as the
            next.
        between: like `pools`, of the two convolutions that lead from a stage to the next.
    """

    parts: tuple[int, ...]
    pools: tuple[bool, ...]
    past: int
    token_blocks: tuple[int, ...]
    between: tuple[bool, bool] = (False, True)


VARIANTS = {
    "static": Entrance((8, 4), (False, False), past=1, token_blocks=(1, 1)),
    "imagenet": Entrance((8, 4, 4), (True, True, False), past=2, token_blocks=(1, 2), between=(True, False)),
    "events": Entrance((16, 8, 4, 2), (False, True, True, True), past=2, token_blocks=(1,)),
}


class SeriesUnit(nn.Module):
    """A norm and a neuron that sees the samples of a batch, frame by frame, as one sequence of T * B timesteps.

    So the official code has it behind the projection of the self-attention, where time is still folded into the batch:
    each sample starts with the membrane that the one before it left.
    """

    def __init__(self, norm: nn.Module, neuron: nn.Module) -> None:
        super().__init__()
        self.norm, self.neuron = norm, neuron

    def forward(self, x: Tensor) -> Tensor:
        current = self.norm(x).flatten(0, 1).unsqueeze(1)
        return self.neuron(current).squeeze(1).unflatten(0, x.shape[:2])


class QKFormer(Backbone):
    """Embedding, stages of blocks with token attention, a last one with self-attention; average, linear.

    Zhou et al., NeurIPS 2024, arXiv 2403.16552. Between two stages height and width are halved and channels doubled.

    Args:
        variant: "static" (three stages, from 32x32 to 8x8 tokens), "imagenet" (three, of 1, 2 and `depth` blocks, from
            224x224 to 14x14) or "events" (two, from 128x128 to 8x8).
        width: channels of a token in the last stage.
        depth: number of blocks in the last stage.
        heads: of every attention.
        mlp_ratio: hidden channels of an MLP, in units of the stage's channels.
        attention_v_th: threshold of the neuron behind each attention; None: that of all the others.
        scale: of the self-attention before that neuron.
        samples_in_series: whether the self-attention leaves through a SeriesUnit, as officially. The logits of a sample
            then depend on the others in its batch, in evaluation, too.
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
        depth: int = 2,
        heads: int = 8,
        mlp_ratio: int = 4,
        attention_v_th: float | None = 0.5,
        scale: float = 0.125,
        samples_in_series: bool = False,
    ) -> None:
        form = VARIANTS[choice("backbone.variant", variant, VARIANTS)]
        width, depth = count("backbone.width", width), count("backbone.depth", depth)
        stages = len(form.token_blocks)
        reduction = 2 ** (sum(form.pools) + stages)
        super().__init__(
            T=T, in_channels=in_channels, num_classes=num_classes, image_size=image_size, reduction=reduction
        )
        if width % form.parts[0]:
            raise UserError(f"backbone.width={width}: must be a multiple of {form.parts[0]}.")
        own = attention_neuron(neuron, attention_v_th)
        makers: dict[str, Any] = {"neuron": neuron, "norm": norm}
        unit, series = unit_factory(norm, neuron), flag("backbone.samples_in_series", samples_in_series)

        def block(channels: int, attention: Attention, leave: nn.Module | None = None) -> TransformerBlock:
            return TransformerBlock(channels, attention, mlp_ratio, neuron_first=False, leave=leave, **makers)

        widths = [in_channels, *(width // part for part in form.parts)]
        self.stages = nn.ModuleList([ShortcutEmbedding(widths, pools=form.pools, past=form.past, **makers)])
        for n, blocks in zip(range(stages, 0, -1), form.token_blocks, strict=True):
            before, after = width // 2**n, width // 2 ** (n - 1)
            for _ in range(blocks):
                self.stages.append(block(before, TokenAttention(before, heads, neuron=own, unit=unit)))
            self.stages.append(ShortcutEmbedding([before, after, after], pools=form.between, **makers))
        for _ in range(depth):
            attention = SpikingSelfAttention(width, heads, neuron=own, scale=scale, keys_first=True, unit=unit)
            leave = SeriesUnit(norm(width), neuron(channels=width)) if series else None
            self.stages.append(block(width, attention, leave))
        self.fc = nn.Linear(width, num_classes)
        start_small(self.fc)

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        x = self.stages[0](x, repeats)
        for stage in self.stages[1:]:
            x = stage(x)
        return self.fc(global_average(x))
