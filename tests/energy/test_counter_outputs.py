"""Neurons that hand on other than zeros and ones: what counts as a spike, and what its products are."""

import pytest
import torch
from torch import nn

from snnbench.energy.counter import FiringRates
from snnbench.training.history import layer_rows
from snnbench.training.module import SpikingClassifier
from tests.energy.scripted import Chain, Scripted, count

VALUES = torch.tensor([[0.0, -1.0, 1.0, 0.0], [1.0, 1.0, 0.0, -1.0]]).view(2, 1, 4)  # [T, B, F]


class Signed(Scripted):
    outputs = "signed"


class Graded(Scripted):
    outputs = "graded"


def test_a_signed_spike_is_an_accumulate():
    net = Chain(Signed(VALUES), nn.Linear(4, 3))
    block = count(net, torch.rand(2, 1, 1, 2, 2)).energy()
    layer = block["layers"]["parts.1"]
    assert (layer["input"], layer["ac"], layer["mac"]) == ("spikes", 5 * 3, 0)
    assert layer["input_rate"] == pytest.approx(5 / 8)


def test_products_with_graded_values_are_multiply_accumulates_even_where_they_look_like_spikes():
    for values in (VALUES * 0.37, VALUES.abs()):
        net = Chain(Graded(values), nn.Linear(4, 3), Scripted(torch.ones(2, 1, 3)), nn.Linear(3, 2))
        layers = count(net, torch.rand(2, 1, 1, 2, 2)).energy()["layers"]
        graded, after = layers["parts.1"], layers["parts.3"]
        assert (graded["input"], graded["ac"], graded["mac"]) == ("real", 0, 2 * 4 * 3)
        assert graded["input_rate"] == pytest.approx(5 / 8)
        assert (after["input"], after["ac"], after["mac"]) == ("spikes", 2 * 3 * 2, 0)


def test_spikes_of_either_sign_count_and_graded_values_have_no_rate():
    net = Chain(Signed(VALUES), Graded(VALUES * 0.37))
    rates = FiringRates(net)
    rates.start()
    net(torch.rand(2, 1, 1, 2, 2))
    rates.stop()
    assert rates.rates() == {"parts.0": pytest.approx(5 / 8)}
    assert rates.mean() == pytest.approx(5 / 8)


def test_neurons_are_charged_for_what_they_hand_on():
    signed, graded = count(Chain(Signed(VALUES), Graded(VALUES * 0.37)), torch.rand(2, 1, 1, 2, 2)).neurons().values()
    assert signed.spikes == graded.spikes == 5


def test_what_a_layer_with_graded_outputs_learns_is_on_record():
    class Learning(Graded):
        def __init__(self):
            super().__init__(VALUES * 0.37)
            self.gain = nn.Parameter(torch.tensor(2.0))

        def coefficients(self):
            return {"gain": self.gain}

    net = Chain(Scripted(VALUES.abs()), Learning())
    module = SpikingClassifier(net, nn.Identity(), nn.Identity(), nn.Identity(), seed=0)
    module.firing.start()
    net(torch.rand(2, 1, 1, 2, 2))
    assert layer_rows(module, evaluated=True) == [
        ("parts.0", "firing_rate", pytest.approx(5 / 8)),
        ("parts.1", "gain", 2.0),
    ]
