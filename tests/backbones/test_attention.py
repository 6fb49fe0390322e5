"""Attention among spikes against its formulas, written token by token, and what its neurons are."""

from functools import partial

import pytest
import torch
from torch import nn

from snnbench.backbones.attention import SpikeDrivenAttention, SpikeMatmul, SpikingSelfAttention, TokenAttention
from snnbench.backbones.layers import unit_factory
from snnbench.backbones.norms import BatchNorm
from snnbench.backbones.qkformer import SeriesUnit
from snnbench.neurons import LIF
from snnbench.neurons.base import spiking_layers
from tests.energy.scripted import Chain, count

T, B, C, H, W, HEADS = 2, 3, 6, 4, 5, 2
neuron = partial(LIF, v_th=0.4, engine="reference")
own = partial(LIF, v_th=0.2, engine="reference")
unit = unit_factory(BatchNorm, neuron)


def spikes(*shape, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.4).double()


def maps(n):
    return [spikes(T, B, C, H, W, seed=seed) for seed in range(n)]


def by_head(x):
    """[T, B, C, H, W] as [T, B, heads, tokens, C / heads], each token written on its own."""
    tokens = [x[..., i // W, i % W] for i in range(H * W)]
    return torch.stack([torch.stack(token.chunk(HEADS, 2), 2) for token in tokens], 3)


def together(x):
    return torch.cat([head.mT.reshape(T, B, -1, H, W) for head in x.unbind(2)], 2)


@pytest.mark.parametrize("keys_first", [False, True])
def test_self_attention_is_its_formula_in_either_order(keys_first):
    attention = SpikingSelfAttention(C, HEADS, neuron=own, scale=0.25, keys_first=keys_first, unit=unit)
    q, k, v = (by_head(x) for x in maps(3))
    expected = own()(together(torch.einsum("tbhid,tbhjd,tbhje->tbhie", q, k, v) * 0.25))
    assert torch.equal(attention.attend(*maps(3)), expected)
    assert 0 < expected.mean() < 1


def test_spike_driven_attention_is_a_mask_over_channels():
    attention = SpikeDrivenAttention(C, HEADS, neuron=partial(own, v_th=4.0), unit=unit)
    q, k, v = maps(3)
    mask = partial(own, v_th=4.0)()(sum((k * v)[..., i, j] for i in range(H) for j in range(W)))
    assert torch.equal(attention.attend(q, k, v), q * mask[..., None, None])
    assert 0 < mask.mean() < 1


def test_token_attention_is_a_mask_over_tokens_by_head():
    attention = TokenAttention(C, HEADS, neuron=partial(own, v_th=1.0), unit=unit)
    q, k = maps(2)
    masks = [partial(own, v_th=1.0)()(part.sum(2)) for part in q.chunk(HEADS, 2)]
    expected = [mask.unsqueeze(2) * part for mask, part in zip(masks, k.chunk(HEADS, 2), strict=True)]
    assert torch.equal(attention.attend(q, k), torch.cat(expected, 2))
    assert 0 < torch.stack(masks).mean() < 1


@pytest.mark.parametrize(("name", "blocks"), [("spikformer", 2), ("sdt", 2), ("qkformer", 4)])
@pytest.mark.parametrize("v_th", [0.7, None])
def test_the_neurons_behind_an_attention_alone_have_its_threshold(build, name, blocks, v_th):
    net = build(name, width=16, heads=2, depth=2, attention_v_th=v_th)
    layers = spiking_layers(net)
    assert sum(key.endswith(".branches.0.neuron") for key in layers) == blocks
    for key, layer in layers.items():
        assert layer.v_th == (v_th if v_th and key.endswith(".branches.0.neuron") else 0.5), key


def test_samples_in_series_share_one_membrane():
    x = torch.randn(T, B, C, H, W, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    series = SeriesUnit(nn.Identity(), neuron())
    v, expected = torch.zeros(C, H, W, dtype=torch.float64), torch.zeros_like(x)
    for t in range(T):
        for b in range(B):  # SpikingJelly's LIF, hard reset: h = v + (x - v) / 2
            h = v + (x[t, b] - v) / 2
            expected[t, b] = h >= 0.4
            v = h * (1 - expected[t, b])
    assert torch.equal(series(x), expected)


@pytest.mark.parametrize("series", [False, True])
def test_samples_influence_each_other_in_series_only(build, series):
    torch.manual_seed(0)
    net = build("qkformer", width=16, heads=2, depth=1, samples_in_series=series).double()
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0  # so that it fires in evaluation, too
    x = torch.randn(4, 3, 32, 32, dtype=torch.float64) * 2
    net(x)
    with torch.no_grad():
        assert torch.equal(net.eval()(x[2:]), net(x)[:, 2:]) != series


def test_a_product_is_counted_by_its_spikes_and_reads_the_other_matrix():
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.matmul = SpikeMatmul()

        def forward(self, x):  # a neuron has fired on it
            return self.matmul(x, torch.ones(*x.shape[:3], x.shape[-1], 7))

    fired = torch.zeros(T, B, HEADS, 5, 4)
    fired[0, 0, 0, :2] = fired[1, 2, 1, 0] = 1
    layer = count(Chain(Fires(), Product()), fired).synapses()["parts.1.matmul"]
    assert (layer.input, layer.ac * B, layer.mac) == ("spikes", 12 * 7, 0)
    assert layer.ann_mac == HEADS * 5 * 4 * 7
    assert layer.weights == HEADS * 4 * 7
    assert (layer.inputs, layer.outputs, layer.passes) == (HEADS * 5 * 4, HEADS * 5 * 7, T)
    assert layer.biases == layer.kernel == 0


class Fires(LIF):
    """Passes spikes on."""

    def forward(self, x, state=None):
        return x
