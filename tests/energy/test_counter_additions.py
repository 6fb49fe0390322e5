"""Counted operations against additions counted one by one, and what counts as spikes at all."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from snnbench.backbones.layers import Conv2d
from tests.energy.scripted import Chain, Scripted, count


def additions(x, layer, mode):
    """Counted one by one: every weight that is added because of a nonzero input, as often as the input says."""
    dims = len(layer.kernel_size)
    pads = layer.padding
    if pads == "same":
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        pads = [(total // 2, total - total // 2) for total in totals]
    else:
        pads = [(p, p) for p in pads]
    x = np.pad(x.double().numpy(), [(0, 0), (0, 0), *pads], mode=mode)
    size = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(x.shape[2:], layer.kernel_size, layer.stride, layer.dilation, strict=True)
    ]
    per_group = layer.in_channels // layer.groups
    total = 0.0
    for frame, channel_out, *at in itertools.product(*map(range, (len(x), layer.out_channels, *size))):
        group = channel_out // (layer.out_channels // layer.groups)
        for channel, *tap in itertools.product(range(per_group), *map(range, layer.kernel_size)):
            place = [at[i] * layer.stride[i] + tap[i] * layer.dilation[i] for i in range(dims)]
            total += x[(frame, group * per_group + channel, *place)]
    return total


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2), (7, 5)),
        (nn.Conv2d(2, 3, 3, padding="same", dilation=2), (5, 7)),
        (nn.Conv2d(3, 3, 5, stride=3, groups=3), (9, 8)),
        (nn.Conv2d(2, 2, 3, stride=2, padding=1, padding_mode="circular"), (5, 6)),
        (nn.Conv2d(2, 2, 3, stride=2, padding=2, padding_mode="reflect"), (5, 6)),
        (nn.Conv1d(3, 4, 3, stride=2, padding=2), (9,)),
    ],
    ids=["uneven", "same", "depthwise", "circular", "reflect", "1-D"],
)
@pytest.mark.parametrize("most", [1, 3], ids=["spikes", "sums"])
def test_additions_one_by_one(layer, size, most):
    torch.manual_seed(0)
    T, B = 2, 3
    x = torch.randint(0, most + 1, (T, B, layer.in_channels, *size)).float()
    net = Chain(Scripted(x), lambda x: x.flatten(0, 1), layer)
    found = count(net, torch.zeros(B, 1, 1, 1)).energy()["layers"]["parts.1"]
    mode = {"zeros": "constant", "circular": "wrap", "reflect": "reflect"}[layer.padding_mode]
    assert found["ac"] == additions(x.flatten(0, 1), layer, mode) / B
    assert found["input"] == ("spikes" if most == 1 else "sums")
    assert found["input_rate"] == pytest.approx(float((x != 0).double().mean()))
    with torch.no_grad():
        outputs = layer(x.flatten(0, 1))[0].numel()
    assert found["ann_mac"] == outputs * layer.weight[0].numel()


POOLS = {
    "2x2": lambda x: nn.functional.avg_pool2d(x, 2),
    "3x3, overlapping": lambda x: nn.functional.avg_pool2d(x, 3, 2, 1),
    "2x2 twice": lambda x: nn.functional.avg_pool2d(nn.functional.avg_pool2d(x, 2), 2),
    "2x2, then to a 7x7 grid": lambda x: nn.functional.adaptive_avg_pool2d(nn.functional.avg_pool2d(x, 2), 7),
    "over all of an odd map": lambda x: x.mean((-2, -1), keepdim=True),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_averages_of_spikes_are_accumulates_where_they_are_not_zero(pool, dtype):
    torch.manual_seed(0)
    size = (11, 13) if pool is POOLS["over all of an odd map"] else (16, 16)
    spikes = (torch.rand(2, 4, 8, *size) < 0.1).to(dtype)
    pooled = pool(spikes.flatten(0, 1))
    neuron = Scripted(spikes)
    net = Chain(neuron, lambda x: pool(x.flatten(0, 1)), nn.Conv2d(8, 5, 1).to(dtype))
    found = count(net, torch.zeros(4, 1, 1, 1)).energy()["layers"]["parts.1"]
    assert found["input"] == "averages"
    assert found["ac"] == int((pooled != 0).sum()) * 5 / 4
    assert found["mac"] == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("change", ["membrane led past the neuron", "sign", "scaled", "not finite"])
def test_anything_else_is_multiplied(change, dtype):
    torch.manual_seed(0)
    spikes = (torch.rand(2, 4, 8, 6, 6) < 0.5).to(dtype)
    changed = {
        "membrane led past the neuron": spikes + 0.3 * torch.rand_like(spikes),
        "sign": spikes - 1,
        "scaled": spikes * 0.3,
        "not finite": spikes / 0,
    }[change]
    net = Chain(Scripted(spikes), lambda x: changed, Conv2d(8, 5, 3, padding=1).to(dtype))
    found = count(net, torch.zeros(4, 1, 1, 1)).energy()["layers"]["parts.1"]
    assert (found["input"], found["ac"]) == ("real", 0)
    assert found["mac"] == 2 * found["ann_mac"] == 2 * 5 * 36 * 8 * 9
