"""Attention between the tokens of a map, among spikes and without softmax.

A map [T, B, C, H, W] holds H * W tokens of C channels, which attention divides among heads, neighbours to the same
one. Each kind here reads spikes and returns the input of the norm that follows its projection.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from snnbench.backbones.layers import NeuronFactory, UnitFactory, conv1x1
from snnbench.check import count, flag, number
from snnbench.errors import UserError


class SpikeMatmul(nn.Module):
    """Product of spikes [..., m, k] and another matrix [..., k, n]: a layer, so that its operations are counted.

    Each spike adds a row of the other matrix.
    """

    bias = None

    def forward(self, spikes: Tensor, other: Tensor) -> Tensor:
        return spikes @ other


class Attention(nn.Module):
    """Queries, keys and perhaps values (each conv 1x1, norm, neuron), `attend`, and a projection (conv 1x1 with bias).

    Args:
        dim: channels.
        heads: among how many heads they are divided.
        unit: makes norms with their neurons.
        bias: of the convolutions before the norms, which remove it.

    Raises:
        UserError: dim is no multiple of heads.
    """

    reads: tuple[str, ...] = ("q", "k", "v")

    def __init__(self, dim: int, heads: int, *, unit: UnitFactory, bias: bool = False) -> None:
        super().__init__()
        self.heads = count("backbone.heads", heads)
        if dim % self.heads:
            raise UserError(f"backbone.heads={heads}: must divide {dim}, the channels that it shares out.")
        self.convs = nn.ModuleDict({name: conv1x1(dim, dim, bias=bias) for name in self.reads})
        self.units = nn.ModuleDict({name: unit(dim) for name in self.reads})
        self.project = conv1x1(dim, dim, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.attend(*(self.units[name](self.convs[name](x)) for name in self.reads)))

    def attend(self, *maps: Tensor) -> Tensor:
        """The map that is projected, from those of `reads`; all [T, B, C, H, W]."""
        raise NotImplementedError(f"{type(self).__name__} defines no attend")

    def tokens(self, x: Tensor) -> Tensor:
        """[T, B, C, H, W] as [T, B, heads, C / heads, H * W]."""
        return x.flatten(3).unflatten(2, (self.heads, -1))


class SpikingSelfAttention(Attention):
    """neuron(scale * q k' v): Spikformer's (arXiv 2209.15425), also Spikingformer's and QKFormer's.

    Products and sums are of whole numbers, so that their order is free, but not their cost.

    Args:
        dim, heads, unit, bias: see Attention.
        neuron: makes what fires on the product, officially with half the threshold.
        scale: before the neuron.
        keys_first: q (k' v), whose cost grows with the number of tokens, not with its square as that of (q k') v.
    """

    def __init__(
        self, dim: int, heads: int, *, neuron: NeuronFactory, scale: float, keys_first: bool = False, **options: Any
    ) -> None:
        super().__init__(dim, heads, **options)
        self.scale = number("backbone.scale", scale, "(0, inf)")
        self.keys_first = flag("backbone.keys_first", keys_first)
        self.inner, self.outer = SpikeMatmul(), SpikeMatmul()
        self.neuron = neuron(channels=dim)

    def attend(self, *maps: Tensor) -> Tensor:
        q, k, v = map(self.tokens, maps)
        x = self.outer(q.mT, self.inner(k, v.mT)).mT if self.keys_first else self.outer(v, self.inner(k.mT, q))
        return self.neuron((x * self.scale).reshape(maps[0].shape))


class SpikeDrivenAttention(Attention):
    """q masked by neuron(sum of k * v over the tokens): "SDSA" of the Spike-driven Transformer (arXiv 2307.01694).

    Masks and sums over tokens, no product of matrices.

    Args:
        dim, heads, unit, bias: see Attention.
        neuron: makes what fires on the sums [T, B, C, 1, 1], officially with half the threshold.
        dilate: give each position of k and v the maximum of the 3x3 around it, and k * v and the result that of the
            neighbouring tokens, in raster order, and channels of the head: the official code does on CIFAR10-DVS.
    """

    def __init__(self, dim: int, heads: int, *, neuron: NeuronFactory, dilate: bool = False, **options: Any) -> None:
        super().__init__(dim, heads, **options)
        self.dilate = flag("backbone.dilate", dilate)
        self.neuron = neuron(channels=dim)

    def attend(self, *maps: Tensor) -> Tensor:
        q, k, v = maps
        if not self.dilate:
            return q * self.neuron((k * v).sum((-2, -1), keepdim=True))
        k, v = _dilated(k), _dilated(v)
        kv = _dilated(self.tokens(k * v).mT).sum(-2).flatten(2)  # of equal ones the first gets the gradient
        mask = self.neuron(kv[..., None, None])
        return _dilated(self.tokens(q * mask).mT).mT.reshape(q.shape)


def _dilated(x: Tensor) -> Tensor:
    """The maximum of 3x3 around each position of the last two dimensions, in [T, B, C, H, W]."""
    return functional.max_pool2d(x.flatten(0, 1), 3, 1, 1).unflatten(0, x.shape[:2])


class TokenAttention(Attention):
    """k masked, token by token, by neuron(sum of q over the channels of a head): QKFormer's (arXiv 2403.16552).

    Args:
        dim, heads, unit, bias: see Attention.
        neuron: makes what fires on the sums [T, B, heads, H, W], officially with half the threshold.
    """

    reads = ("q", "k")

    def __init__(self, dim: int, heads: int, *, neuron: NeuronFactory, **options: Any) -> None:
        super().__init__(dim, heads, **options)
        self.neuron = neuron(channels=self.heads)

    def attend(self, *maps: Tensor) -> Tensor:
        q, k = (x.unflatten(2, (self.heads, -1)) for x in maps)
        return (self.neuron(q.sum(3)).unsqueeze(3) * k).flatten(2, 3)
