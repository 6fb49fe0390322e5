"""What NIR is told is what the network computes: written, read again, and run by NIR's equations."""

import numpy as np
import pytest
import torch

import snnbench
from snnbench.errors import UserError
from snnbench.models import to_nir
from snnbench.models.nir_run import simulate
from snnbench.neurons import LIF

nir = pytest.importorskip("nir")
CHAIN = ("data=digits", "T=4", "backbone.width=4", "neuron.v_th=0.1")
FORMS = {
    "if": ["neuron=if"],
    "lif": ["neuron=lif", "neuron.tau=3.0"],
    "raw": ["neuron=lif", "neuron.decay_input=false", "neuron.v_reset=-0.25"],
    "leak": ["neuron=lif", "neuron.leak=0.25"],
    "plif": ["neuron=plif", "neuron.tau=1.5"],
    "tdbn": ["neuron=lif", "norm=tdbn"],
    "bn_per_step": ["neuron=lif", "norm=bn_per_step"],
}


def trained(*words):
    """A network whose norms have statistics and weights of their own, and which fires in every layer."""
    network = snnbench.load(*words).network.train()
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(5):
            network(torch.rand(32, 1, 8, 8))
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return network.eval()


def chain_of(graph):
    """Its nodes in the order of its edges."""
    following = dict(graph.edges)
    name, names = "input", ["input"]
    while name in following:
        name = following[name]
        names.append(name)
    return [graph.nodes[name] for name in names]


@pytest.mark.parametrize("form", FORMS)
def test_a_graph_that_is_read_again_gives_the_same_logits(form, tmp_path):
    network = trained(*CHAIN, *FORMS[form])
    before = network.state_dict()
    nir.write(tmp_path / "network.nir", to_nir(network))
    nodes = chain_of(nir.read(tmp_path / "network.nir"))
    frames = torch.rand(4, 8, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad(), snnbench.record(network, "s") as traces:
        expected = network(frames)
    assert all(0.01 < trace["s"].mean() < 0.99 for trace in traces.values())
    found = simulate(nodes, frames.double())
    torch.testing.assert_close(found.float(), expected, rtol=1e-3, atol=1e-4)
    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not network.training


def test_a_neuron_is_the_equation_that_nir_has():
    """tau dv/dt = (v_leak - v) + R I, a step of dt = 1, worked by hand beside the neuron itself."""
    x = 3 * torch.rand(6, 1, 5, generator=torch.Generator().manual_seed(0))
    spikes = LIF(tau=2.0, v_reset=-0.5)(x)
    v, expected = np.zeros(5), []
    for current in x[:, 0].numpy():
        v = v + (-0.5 - v + current) / 2.0
        expected.append((v >= 1.0).astype(float))
        v = np.where(v >= 1.0, -0.5, v)
    assert np.array_equal(spikes[:, 0].numpy(), np.stack(expected))
    values = {"tau": 2.0, "r": 1.0, "v_leak": -0.5, "v_threshold": 1.0, "v_reset": -0.5}
    node = nir.LIF(**{name: np.full(5, value) for name, value in values.items()})
    assert torch.equal(simulate([node], x.double()).float(), spikes)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["neuron=klif"], "has no KLIF. What it has are IF, LIF, and PLIF"),
        (["neuron=dalif"], "has no DA-LIF"),
        (["neuron=lif", "neuron.v_reset=null"], "this LIF has a soft reset (v_reset=null)"),
        (["neuron=lif", "neuron.membrane_norm=true"], "this one on its norm (membrane_norm=true)"),
        (["neuron=lif", "backbone.pool=max"], "has no MaxPool2d"),
        (["neuron=lif", "data=cifar10", "backbone=resnet20", "backbone.width=4"], "ResNet20 is no chain of layers"),
    ],
)
def test_what_nir_cannot_say_is_refused_by_name(words, says):
    with pytest.raises(UserError) as error:
        to_nir(snnbench.load("data=digits", "T=2", *words).network)
    assert says in str(error.value)


class Rising(torch.nn.Module):
    """A norm that is another one in each timestep."""

    def forward(self, x, repeats=1):
        return x * torch.arange(1.0, len(x) + 1).view(-1, 1, 1, 1, 1)


def test_a_norm_that_depends_on_the_timestep_is_refused():
    network = snnbench.load(*CHAIN, "neuron=lif").network
    network.units[1].norm = Rising()
    with pytest.raises(UserError, match="Rising depends on the timestep"):
        to_nir(network)


def test_the_export_has_it_where_it_is_asked_for_and_nothing_where_it_cannot_be(run, tmp_path):
    assert nir.read(snnbench.export(run, tmp_path / "out", nir=True) / "model.nir").nodes
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("v_reset: 0.0", "v_reset: null"))
    with pytest.raises(UserError, match="soft reset"):
        snnbench.export(run, tmp_path / "none", nir=True)
    assert not (tmp_path / "none").exists()
