"""How an image becomes tokens: convolutions, norms, neurons and 3x3 max pools with stride 2."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from snnbench.backbones.layers import MaxPool2d, NeuronFactory, NormFactory, conv1x1, conv3x3, unit_factory
from snnbench.check import flag, shown
from snnbench.errors import UserError
from snnbench.kernels import repeat


def overlapping_pool(pools: bool) -> nn.Module:
    """A 3x3 max pool with stride 2, or nothing."""
    return MaxPool2d(3, 2, 1) if pools else nn.Identity()


def check_pools(pools: Sequence[bool]) -> list[bool]:
    """`pools`, if it says for each of four convolutions whether a pool follows."""
    if not isinstance(pools, Sequence) or isinstance(pools, str) or len(pools) != 4:
        raise UserError(f"backbone.pools={shown(pools)}: must be a list of true and false, of length 4.")
    return [flag("backbone.pools", value) for value in pools]


class ConvStage(nn.Module):
    """conv 3x3, norm, neuron and perhaps a pool, which stands behind the neuron or before it.

    One frame that stands for `repeats` timesteps goes through what comes before the neuron once.
    """

    def __init__(
        self, c_in: int, c_out: int, *, neuron: NeuronFactory, norm: NormFactory, pools: bool, pool_first: bool = False
    ) -> None:
        super().__init__()
        self.conv = conv3x3(c_in, c_out)
        self.pool = overlapping_pool(pools)
        self.pool_first = pools and pool_first
        if self.pool_first:
            self.norm, self.neuron = norm(c_out), neuron(channels=c_out)
        else:
            self.unit = unit_factory(norm, neuron)(c_out)

    def forward(self, x: Tensor, repeats: int = 1) -> Tensor:
        if self.pool_first:
            current = self.pool(self.norm(self.conv(x), repeats))
            return self.neuron(repeat(current, repeats) if repeats > 1 else current)
        return self.pool(self.unit(self.conv(x), repeats))


class PatchSplitting(nn.Module):
    """Stages of dim / 8, dim / 4, dim / 2 and dim channels, and a convolution that tells the tokens where they are.

    With c = norm(conv 3x3) of the last:

    - "spikes":   s + neuron(c(s)), s the spikes of the fourth stage (Spikformer)
    - "plain":    c(s)                                               (Spikingformer)
    - "membrane": u + c(neuron(u)), u the norm of the fourth stage   (Spike-driven Transformer)

    Args:
        c_in: channels of the image.
        dim: channels of the tokens, a multiple of 8.
        neuron, norm: their factories.
        pools: after which of the stages height and width are halved.
        position: how the last convolution is added.
    """

    POSITIONS = ("spikes", "plain", "membrane")

    def __init__(
        self,
        c_in: int,
        dim: int,
        *,
        neuron: NeuronFactory,
        norm: NormFactory,
        pools: Sequence[bool],
        position: str,
    ) -> None:
        super().__init__()
        if dim % 8:
            raise UserError(f"backbone.width={dim}: must be a multiple of 8.")
        self.position = position
        widths = [c_in, dim // 8, dim // 4, dim // 2, dim]
        of_spikes = 3 if position == "membrane" else 4
        self.stages = nn.ModuleList(
            ConvStage(widths[n], widths[n + 1], neuron=neuron, norm=norm, pools=pools[n]) for n in range(of_spikes)
        )
        if position == "membrane":
            self.entrance = nn.Sequential(conv3x3(dim // 2, dim), norm(dim), overlapping_pool(pools[3]))
            self.neuron = neuron(channels=dim)
        self.conv = conv3x3(dim, dim)
        self.last = unit_factory(norm, neuron)(dim) if position == "spikes" else norm(dim)

    def forward(self, x: Tensor, repeats: int) -> Tensor:
        """Tokens [T, B, dim, H', W'] of frames [T, B, C, H, W], or of one frame that stands for `repeats`."""
        for n, stage in enumerate(self.stages):
            x = stage(x, repeats if n == 0 else 1)
        if self.position == "plain":
            return self.last(self.conv(x))
        if self.position == "spikes":
            return x + self.last(self.conv(x))
        x = self.entrance(x)
        return x + self.last(self.conv(self.neuron(x)))


class ShortcutEmbedding(nn.Module):
    """Stages whose pools stand before the neurons, plus (conv 1x1, norm, neuron) led past the last of them.

    "Spiking patch embedding with deformed shortcut" of QKFormer (arXiv 2403.16552).

    Args:
        widths: channels of the input, then of each stage.
        neuron, norm: their factories.
        pools: which stages have a pool, one entry for each.
        past: how many of the last stages the shortcut leads past; its stride makes up for their pools.
    """

    def __init__(
        self, widths: Sequence[int], *, neuron: NeuronFactory, norm: NormFactory, pools: Sequence[bool], past: int = 2
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            ConvStage(widths[n], widths[n + 1], neuron=neuron, norm=norm, pools=pools[n], pool_first=True)
            for n in range(len(pools))
        )
        self.past = past
        self.conv = conv1x1(widths[-1 - past], widths[-1], stride=2 ** sum(pools[-past:]))
        self.unit = unit_factory(norm, neuron)(widths[-1])

    def forward(self, x: Tensor, repeats: int = 1) -> Tensor:
        before = len(self.stages) - self.past
        for n, stage in enumerate(self.stages[:before]):
            x = stage(x, repeats if n == 0 else 1)
        main = x
        for stage in self.stages[before:]:
            main = stage(main)
        return main + self.unit(self.conv(x))
