"""The energy models against arithmetic by hand, and against SpikingJelly's estimate after the same paper."""

from dataclasses import replace

import pytest
import torch
from spikingjelly.activation_based import neuron as sj_neuron
from spikingjelly.activation_based import op_counter
from torch import nn

from snnbench.energy.lemaire import access, ann
from snnbench.energy.models import choose_model, energy
from snnbench.energy.operations import Neurons, Synapses
from snnbench.errors import UserError
from snnbench.neurons import IF, LIF
from tests.energy.scripted import Chain, count

STEM = Synapses("real", 0.9, ac=0, mac=1000, ann_mac=1000, inputs=100, outputs=2048, passes=1, weights=2048, kernel=36)
HIDDEN = Synapses(
    "spikes", 0.1, ac=500, mac=0, ann_mac=4000, events=50, inputs=2048, outputs=8192, passes=4, weights=262144, kernel=9
)
PARAMETERS = {"total": 7, "neurons": 2}


def test_45nm_by_hand():
    block = energy({"stem": STEM, "hidden": HIDDEN}, samples=3, parameters=PARAMETERS)
    assert block == {
        "model": "45nm",
        "samples": 3,
        "ac": 500,
        "mac": 1000,
        "ann_mac": 5000,
        "picojoule": pytest.approx(500 * 0.9 + 1000 * 4.6),
        "ann_picojoule": pytest.approx(5000 * 4.6),
        "layers": {
            "stem": {"input": "real", "input_rate": 0.9, "ac": 0, "mac": 1000, "ann_mac": 1000, "picojoule": 4600},
            "hidden": {"input": "spikes", "input_rate": 0.1, "ac": 500, "mac": 0, "ann_mac": 4000, "picojoule": 450},
        },
        "parameters": PARAMETERS,
    }


@pytest.mark.parametrize(
    ("kilobytes", "picojoule"),
    [(0, 0), (4, 5), (8, 10), (20, 15), (32, 20), (528, 60), (1024, 100), (4096, 100)],
)
def test_an_access_costs_more_the_larger_the_memory(kilobytes, picojoule):
    assert access(kilobytes * 256) == pytest.approx(picojoule)


def test_lemaire_by_hand():
    neurons = {"lif": Neurons(neurons=8192, steps=4, spikes=600, products=1, resets=1, reads=1, writes=1)}
    block = energy({"stem": STEM, "hidden": HIDDEN}, neurons, samples=1, parameters=PARAMETERS, model="lemaire")
    queue = 10 * 4000 / 8192  # 1000 events of 4 bytes
    memory = 1000 * (10 * 400 / 8192 + 10)  # of each product an input from 400 bytes and a weight from 8 kB
    addressing = 0.1 * (100 + 2048 + 36)
    stem = 3.2 * 1000 + addressing + memory
    hidden = 0.1 * 500 + (0.1 * 500 + 3.2 * 2 * 50) + (50 * queue + 500 * 100 + 2 * 500 * 20)
    lif = 3.2 * 8192 * 4 + 0.1 * 600 + (2 * 8192 * 4 * 20 + 600 * queue)
    assert block["layers"]["stem"]["picojoule"] == pytest.approx(stem)
    assert block["layers"]["hidden"]["picojoule"] == pytest.approx(hidden)
    assert block["neurons"] == {"lif": {"picojoule": pytest.approx(lif)}}
    assert block["picojoule"] == pytest.approx(stem + hidden + lif) == sum(block["parts"].values())
    ann_stem = stem + 2048 * 10
    ann_hidden = 3.2 * 4000 + 0.1 * (2048 + 8192 + 9) + 4000 * (10 + 100) + 8192 * 20
    assert block["ann_picojoule"] == pytest.approx(ann_stem + ann_hidden) == sum(block["ann_parts"].values())
    assert (block["ac"], block["mac"]) == (500, 1000)


def test_four_passes_of_the_ann_cost_four_times_as_much():
    once = ann(HIDDEN)
    fourfold = ann(replace(HIDDEN, ann_passes=4, ann_mac=4 * HIDDEN.ann_mac))
    assert fourfold == pytest.approx({part: 4 * picojoule for part, picojoule in once.items()})


@pytest.mark.parametrize(
    ("value", "model"), [(True, "45nm"), ("45nm", "45nm"), ("lemaire", "lemaire"), (False, None), (None, None)]
)
def test_models_by_name(value, model):
    assert choose_model(value) == model


@pytest.mark.parametrize("value", ["lemair", "yes", 45, ["lemaire"], 1])
def test_an_unknown_model_is_refused(value):
    with pytest.raises(UserError, match=r"energy=.*Allowed: true .*, 45nm, lemaire, false"):
        choose_model(value)


def ours_and_theirs(neuron, theirs, T):
    """The same network here and in SpikingJelly: 1x1 convolutions, where nothing depends on borders."""
    torch.manual_seed(0)
    conv, hidden = nn.Conv2d(3, 16, 1), nn.Linear(16 * 25, 30, bias=False)
    net = Chain(conv, Unfold(T), neuron(), nn.Flatten(2), hidden, neuron(), nn.Linear(30, 10))
    sj = nn.Sequential(conv, Unfold(T), theirs(), nn.Flatten(2), hidden, theirs(), net.order[-1])
    for layer in (conv, hidden):
        nn.init.normal_(layer.weight, std=0.5)
    return net, sj


class Unfold(nn.Module):
    """[T * B, ...] -> [T, B, ...]"""

    def __init__(self, T):
        super().__init__()
        self.T = T

    def forward(self, x):
        return x.unflatten(0, (self.T, -1))


@pytest.mark.parametrize(
    ("neuron", "theirs"),
    [
        (lambda: LIF(tau=2.0, engine="reference"), lambda: sj_neuron.LIFNode(tau=2.0, step_mode="m")),
        (lambda: IF(engine="reference"), lambda: sj_neuron.IFNode(step_mode="m")),
    ],
    ids=["LIF", "IF"],
)
def test_lemaire_as_in_spikingjelly(neuron, theirs):
    net, sj = ours_and_theirs(neuron, theirs, T=1)
    x = torch.rand(1, 3, 5, 5) * 3
    net.order = (lambda x: x.flatten(0, 1), *net.order)
    synops = count(net, x)
    block = synops.energy("lemaire")
    config = op_counter.LemaireEnergyConfig(strict=False)
    with pytest.warns(RuntimeWarning, match="do not support"):
        report = op_counter.estimate_lemaire_energy(sj.eval(), x, config=config)
    assert sum(work.spikes for work in synops.neurons().values()) > 20
    assert block["ac"] == report.counts["synop"] > 0
    assert block["parts"]["operations"] == pytest.approx(report.breakdown_pj["ops_pj"])
    assert block["parts"]["addressing"] == pytest.approx(report.breakdown_pj["addressing_pj"])
    assert block["parts"]["memory"] == pytest.approx(report.breakdown_pj["memory_pj"])
