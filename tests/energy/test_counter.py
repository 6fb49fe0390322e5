"""Counted operations against numbers worked by hand and against additions counted one by one."""

import pytest
import torch
from torch import nn

from snnbench.backbones.layers import Conv2d
from snnbench.energy.counter import SynOps, parameter_counts
from tests.energy.scripted import Chain, Scripted, count


def places(shape, *where):
    spikes = torch.zeros(shape)
    for place in where:
        spikes[place] = 1.0
    return spikes


@pytest.fixture
def three_layers():
    """6x6 image -> conv 3x3 stride 2 padding 1 -> 2 maps of 3x3 -> the same conv in 2 groups -> 4 of 2x2 -> linear."""
    first = places((2, 1, 2, 3, 3), (0, 0, 0, 0, 0), (0, 0, 0, 1, 1), (0, 0, 1, 1, 0), (1, 0, 1, 2, 2), (1, 0, 1, 2, 1))
    second = places((2, 1, 4, 2, 2), *((t, 0, c, 1, t) for t in range(2) for c in range(3)), (1, 0, 3, 0, 0))
    return Chain(
        Conv2d(1, 2, 3, stride=2, padding=1),
        Scripted(first),
        Conv2d(2, 4, 3, stride=2, padding=1, groups=2, bias=False),
        Scripted(second),
        nn.Flatten(2),
        nn.Linear(16, 3),
    )


# Of a 3x3 map the corners reach 1 of the 2x2 outputs, the middles of the edges 2, the centre 4; in two channels each.
HAND = {
    "parts.0": {"input": "real", "ac": 0, "mac": 18 * 9, "ann_mac": 18 * 9, "picojoule": 4.6 * 162},
    "parts.2": {
        "input": "spikes",
        "input_rate": 5 / 36,
        "ac": 2 * (1 + 4 + 2 + 1 + 2),
        "mac": 0,
        "ann_mac": 16 * 9,
        "picojoule": 0.9 * 20,
    },
    "parts.5": {"input": "spikes", "input_rate": 7 / 32, "ac": 7 * 3, "mac": 0, "ann_mac": 48, "picojoule": 0.9 * 21},
}


def test_three_layers_by_hand(three_layers):
    image = torch.rand(1, 1, 6, 6) + 0.1
    image[0, 0, 0, :3] = 0
    block = count(three_layers, image).energy()
    expected = {**HAND, "parts.0": {**HAND["parts.0"], "input_rate": 33 / 36}}
    assert block.pop("layers") == {name: pytest.approx(layer) for name, layer in expected.items()}
    assert block == {
        "model": "45nm",
        "samples": 1,
        "ac": 41,
        "mac": 162,
        "ann_mac": 162 + 144 + 48,
        "picojoule": pytest.approx(0.9 * 41 + 4.6 * 162),
        "ann_picojoule": pytest.approx(4.6 * 354),
        "parameters": {"total": 18 + 2 + 36 + 48 + 3, "neurons": 0},
    }


def test_frames_pass_the_first_layer_at_every_timestep(three_layers):
    still, moving = (
        count(three_layers, x).energy()["layers"]["parts.0"]
        for x in (torch.rand(1, 1, 6, 6), torch.rand(2, 1, 1, 6, 6))
    )
    assert (still["mac"], moving["mac"]) == (162, 324)
    assert still["ann_mac"] == moving["ann_mac"] == 162


def test_counts_are_means_over_samples_and_batches(three_layers):
    first, second = (part for part in three_layers.order if isinstance(part, Scripted))
    batches = [torch.rand(1, 1, 6, 6), torch.rand(1, 1, 6, 6), torch.rand(2, 1, 6, 6)]
    spikes = [neuron.spikes for neuron in (first, second)]
    synops = SynOps(three_layers)
    synops.start()
    for x, share in zip(batches, (1.0, 0.0, 1.0), strict=True):
        for neuron, pattern in zip((first, second), spikes, strict=True):
            neuron.spikes = torch.cat([pattern * share, *([pattern * 0] * (len(x) - 1))], 1)
        three_layers(x)
    block = synops.energy()
    assert block["samples"] == 4
    assert (block["ac"], block["mac"], block["ann_mac"]) == (41 * 2 / 4, 162, 354)
    assert block["layers"]["parts.2"]["input_rate"] == pytest.approx(5 / 36 * 2 / 4)


def test_only_what_runs_between_start_and_stop_counts(three_layers):
    x = torch.rand(1, 1, 6, 6)
    synops = SynOps(three_layers)
    three_layers(x)
    assert synops.energy() is None
    for _ in range(2):
        synops.start()
        three_layers(x)
        synops.stop()
        three_layers(x)
    assert synops.energy()["samples"] == 1
    assert synops.energy()["ac"] == 41
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in three_layers.modules())


def test_counting_leaves_output_and_gradients_alone(three_layers):
    x = torch.rand(1, 1, 6, 6)
    expected = three_layers(x)
    synops = SynOps(three_layers)
    synops.start()
    counted = three_layers(x)
    assert torch.equal(counted, expected)
    counted.sum().backward()
    assert synops.energy()["ac"] == 41


def test_one_real_batch_makes_the_layer_real():
    neuron = Scripted(torch.ones(1, 1, 4))
    net = Chain(neuron, nn.Linear(4, 2))
    synops = SynOps(net)
    synops.start()
    for value in (1.0, 0.37, 0.0):
        neuron.spikes = torch.full((1, 1, 4), value)
        net(torch.zeros(1, 1, 1, 1))
    layer = synops.energy()["layers"]["parts.1"]
    assert (layer["input"], layer["ac"], layer["mac"]) == ("real", 0, 8)


def test_a_silent_layer_costs_nothing():
    net = Chain(nn.Conv2d(1, 2, 3), Scripted(torch.zeros(2, 1, 4)), nn.Linear(4, 2))
    net.order = net.order[1:]
    block = count(net, torch.zeros(1, 1, 1, 1)).energy()
    assert list(block["layers"]) == ["parts.2"], "a layer that does not run is not listed"
    assert (block["ac"], block["mac"], block["picojoule"]) == (0, 0, 0)
    assert block["ann_mac"] == 8


def test_layers_inside_a_neuron_belong_to_the_neuron():
    neuron = Scripted(torch.ones(1, 1, 4))
    neuron.inner = nn.Linear(3, 3)
    net = Chain(neuron, nn.Linear(4, 2))
    assert list(count(net, torch.zeros(1, 1, 1, 1)).energy()["layers"]) == ["parts.1"]
    assert parameter_counts(net) == {"total": 12 + 10, "neurons": 12}


def test_counts_of_two_devices_add_up(three_layers):
    first, second = (part for part in three_layers.order if isinstance(part, Scripted))
    shares = [torch.rand(1, 1, 6, 6), torch.rand(1, 1, 6, 6).round()]
    here, there = [], []
    for x, counted in zip(shares, (here, there), strict=True):
        counted.append(count(three_layers, x))
        first.spikes, second.spikes = first.spikes.flip(0, 3), second.spikes * 0
    sent = []
    there[0].sum_over_devices(lambda counts: sent.append(counts.clone()) or counts)
    received = iter(sent)
    here[0].sum_over_devices(lambda counts: counts + next(received))
    block = here[0].energy("lemaire")
    assert block["samples"] == 2
    assert (block["ac"], block["mac"], block["ann_mac"]) == ((41 + 20) / 2, 162, 354)
    assert here[0].neurons()["parts.3"].spikes == 7 / 2
    assert (here[0].neurons()["parts.3"].neurons, here[0].neurons()["parts.3"].steps) == (16, 2)
