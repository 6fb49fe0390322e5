"""What a neuron records is what it computes: the same spikes, the states that it hands on, numbers worked by hand."""

from functools import partial

import pytest
import torch
from neuron_cases import ALL, STREAMING, build, moved

from snnbench import record
from snnbench.backbones import ConvNet
from snnbench.backbones.norms import BatchNorm
from snnbench.errors import UserError
from snnbench.neurons import LIF, SpikingNeuron
from snnbench.neurons.base import spiking_layers

T = 5


@pytest.fixture
def x():
    return 1.5 * torch.randn(T, 2, 3, 4, generator=torch.Generator().manual_seed(1)) + 0.5


@pytest.mark.parametrize("case", ALL)
def test_the_spikes_are_the_same_and_follow_from_what_is_recorded(case, x):
    neuron = moved(build(case, T))
    plain, before = neuron(x), set(vars(neuron))
    with neuron.record() as traces:
        spikes = neuron(x)
    assert torch.equal(spikes, plain)
    assert torch.equal(traces["s"], plain.detach())
    assert torch.equal(traces["x"], x)
    assert torch.equal((traces["u"] > 0 if neuron.spike.strict else traces["u"] >= 0).float(), plain.sign())
    assert traces.keys() == {*neuron.states, "s", "u", "x"}
    assert all(trace.shape == x.shape and not trace.requires_grad for trace in traces.values())
    assert set(vars(neuron)) == before
    traces.clear()
    neuron(x)
    assert not traces


@pytest.mark.parametrize("case", [case for case in STREAMING if build(case, T).states])
def test_the_last_state_is_the_trace_at_its_end_and_chunks_go_on(case, x):
    neuron = moved(build(case, T))
    with neuron.record() as traces, torch.no_grad():
        _, whole = neuron.run(x)
        recorded = dict(traces)
        _, state = neuron.run(x[:2])
        first = dict(traces)
        neuron.run(x[2:], state)
    for name in neuron.states:
        assert torch.equal(recorded[name][-1], whole[name])
        torch.testing.assert_close(torch.cat([first[name], traces[name]]), recorded[name])


def test_a_membrane_worked_by_hand():
    x = torch.tensor([1.0, 1.5, 3.0, 0.5]).view(4, 1, 1)
    neuron = LIF(tau=2.0, engine="cpu")
    with neuron.record("v", "u") as traces:
        assert neuron(x).flatten().tolist() == [0, 1, 1, 0]
    # h = v + (x - v) / 2 = 0.5, 1.0, 1.5, 0.25; after a spike v = 0
    assert traces["u"].flatten().tolist() == [-0.5, 0.0, 0.5, -0.75]
    assert traces["v"].flatten().tolist() == [0.5, 0.0, 0.0, 0.25]


def test_every_layer_of_a_network_is_recorded():
    torch.manual_seed(0)
    options = {"T": 3, "in_channels": 1, "num_classes": 10, "image_size": 8, "width": 4}
    network = ConvNet(
        neuron=partial(LIF, v_th=0.1), norm=BatchNorm, pool="avg", multipliers=[1, 2], pool_after=[1], grid=1, **options
    )
    network.eval()
    images = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        plain = network(images)
        with record(network, "v", "s") as traces:
            torch.testing.assert_close(network(images), plain)
    assert traces.keys() == spiking_layers(network).keys()
    assert {name: trace["v"].shape[:3] for name, trace in traces.items()} == {
        name: (3, 2, channels) for name, channels in zip(traces, (4, 8), strict=True)
    }
    assert all(trace["s"].sum() > 0 for trace in traces.values())
    assert torch.equal(network(images), plain)


def test_what_is_not_there_is_refused_by_name():
    with (
        pytest.raises(
            UserError, match=r"record\('V'\): LIF has no such quantity. Did you mean 'v'\? There are: v, x, u, s."
        ),
        LIF().record("V"),
    ):
        pass

    class _Own(SpikingNeuron):
        def forward(self, x, state=None):
            return x

        def step(self, x, state, c, spike):
            return x, state

    with pytest.raises(UserError, match="forward of its own"):
        _Own().record("v")
