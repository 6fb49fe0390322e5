"""The unit of networks without spikes: nothing of it is counted as a spike, and there is no time for it."""

import pytest
import torch
from torch import nn

from snnbench import neurons
from snnbench.energy.counter import FiringRates, SynOps
from snnbench.errors import UserError
from snnbench.neurons import ReLU, known
from snnbench.neurons.base import spiking_layers
from snnbench.results import labels


def test_it_is_the_larger_of_x_and_0_with_the_gradient_of_that():
    x = torch.tensor([[[-1.5, -0.0, 0.25, 3.0]]], dtype=torch.float64, requires_grad=True)
    y = ReLU(channels=4)(x)
    y.backward(torch.tensor([[[1.0, 2.0, 3.0, 4.0]]], dtype=torch.float64))
    assert y.tolist() == [[[0.0, 0.0, 0.25, 3.0]]]
    assert x.grad.tolist() == [[[0.0, 0.0, 3.0, 4.0]]]


@pytest.mark.parametrize(("T", "said"), [(4, "T=4: neuron=relu .* Set T=1"), (0, "neuron.T=0"), (1.0, "neuron.T=1.0")])
def test_it_makes_one_pass(T, said):
    with pytest.raises(UserError, match=said):
        ReLU(T=T)


def test_it_is_no_spiking_neuron_but_has_its_place_and_name():
    assert neurons.ReLU is ReLU
    assert "relu" not in known()
    assert labels.neuron("relu") == "ReLU"


@pytest.fixture
def network():
    """2 numbers -> 3 units -> 2 units -> 1; each product is one of 2 x 3 + 3 x 2 + 2 x 1."""
    return nn.Sequential(nn.Linear(2, 3), ReLU(), nn.Linear(3, 2), ReLU(), nn.Linear(2, 1))


def counted(network, counter):
    counter.start()
    for scale in (1.0, -2.0):  # what the units let through is whole, as spikes are
        network(torch.tensor([[[scale, 1.0]]]))
    counter.stop()
    return counter


def test_all_its_products_are_multiply_accumulates(network):
    for layer in network[::2]:
        layer.weight.data.fill_(1.0)
        layer.bias.data.zero_()
    block = counted(network, SynOps(network)).energy()
    assert (block["ac"], block["mac"], block["ann_mac"]) == (0, 14, 14)
    assert block["picojoule"] == block["ann_picojoule"] == pytest.approx(4.6 * 14)
    assert {layer["input"] for layer in block["layers"].values()} == {"real"}


def test_its_memory_costs_what_the_ann_counterparts_does(network):
    block = counted(network, SynOps(network)).energy("lemaire")
    assert block["picojoule"] == block["ann_picojoule"] > 3.2 * 14
    assert block["parts"] == block["ann_parts"]
    assert block["neurons"] == {}


def test_there_is_nothing_that_fires(network):
    rates = counted(network, FiringRates(network))
    assert (rates.rates(), rates.mean(), spiking_layers(network)) == ({}, None, {})
