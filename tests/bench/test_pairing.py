"""Runs that differ in the neuron alone begin with the same weights and see the same batches."""

import pytest
import torch

from snnbench.bench.pairing import shared
from snnbench.neurons.base import spiking_layers
from snnbench.training import build
from tests.test_configs import compose, options


def config(neuron, *more):
    return compose("data=digits", f"neuron={neuron}", "seed=3", "T=4", "backbone.width=4", *more)


@pytest.mark.parametrize("neuron", options("neuron"))
def test_what_a_neuron_draws_moves_no_weight_around_it(neuron):
    steps = ["T=1"] if neuron == "relu" else []
    found = shared(config("lif", *steps), config(neuron, *steps))
    assert found.different == ()
    assert {"convs.0.weight", "convs.2.weight", "fc.weight", "fc.bias"} <= set(found.equal)


def test_another_seed_is_another_network():
    found = shared(config("lif"), config("lif", "seed=4"))
    assert "convs.0.weight" in found.different


def test_layers_of_one_neuron_draw_each_their_own_and_seeds_differ():
    first, again, other = (build.build_network(config("psn", f"seed={seed}")) for seed in (3, 3, 4))
    weights = [[layer.weight for layer in spiking_layers(network).values()] for network in (first, again, other)]
    assert all(map(torch.equal, weights[0], weights[1]))
    assert not torch.equal(weights[0][0], weights[0][1])
    assert not torch.equal(weights[0][0], weights[2][0])


def test_batches_and_their_augmentation_are_the_same():
    seen = []
    for neuron in ("lif", "glif"):
        cfg = config(neuron, "augment=affine", "data.limit=96")
        build.build_network(cfg)  # from whose random numbers batches are free
        data = build.build_data(cfg)
        data.epoch_of = lambda: 1
        seen.append(list(data.train_dataloader()))
    for (ours, our_labels), (theirs, their_labels) in zip(*seen, strict=True):
        assert torch.equal(ours, theirs)
        assert torch.equal(our_labels, their_labels)
