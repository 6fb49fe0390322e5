"""LT-SNN's threshold: its gradient, which is not that of the spikes alone; and a layer that learns nothing."""

import copy
import math

import pytest
import torch
from torch import nn

from snnbench.neurons import LIF, LTSNN, ChannelwisePSN
from snnbench.training.losses import TET


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_the_threshold_learns_faster_from_inputs_above_it(engine):
    x = torch.tensor([0.7, 1.25]).view(1, 1, 2).requires_grad_()
    neuron = LTSNN(surrogate="triangle", engine=engine)
    (neuron(x) * torch.tensor([2.0, 3.0])).sum().backward()
    slopes = [2 * 0.7, 3 * 0.75]  # of the triangle, times what each spike counts
    above = 1 / (1 + math.exp(-0.25))
    assert x.grad.flatten().tolist() == pytest.approx(slopes)
    assert neuron.threshold.grad.item() == pytest.approx(-(slopes[0] + slopes[1] * (1 + above)))


@pytest.mark.parametrize(("v_reset", "left"), [(0.0, [0.0, 0.6]), (None, [0.2, 0.6])])
def test_it_fires_at_its_threshold_and_a_soft_reset_takes_that(v_reset, left):
    neuron = LTSNN(v_reset=v_reset)
    neuron.threshold.data.fill_(0.8)
    spikes, state = neuron.run(torch.tensor([1.0, 0.6]).view(1, 1, 2))
    assert spikes.flatten().tolist() == [1.0, 0.0]
    assert state["v"].flatten().tolist() == pytest.approx(left)


def test_a_frozen_layer_computes_alike_and_has_nothing_to_learn():
    x, neuron = torch.randn(4, 3, 2), LTSNN()
    neuron.threshold.data.fill_(0.3)
    frozen = copy.deepcopy(neuron)
    frozen.freeze()
    assert torch.equal(frozen(x), neuron(x))
    assert [*frozen.parameters()] == []
    assert frozen.state_dict().keys() == neuron.state_dict().keys()


@pytest.mark.parametrize(
    "neuron", [LIF(membrane_norm=True, channels=2), ChannelwisePSN(k=2, membrane_norm=True, channels=2)], ids=repr
)
def test_a_norm_within_is_frozen_with_it(neuron):
    x, frozen = torch.randn(4, 3, 2), copy.deepcopy(neuron)
    frozen.freeze()
    assert [*frozen.parameters()] == []
    for each in (neuron, frozen):
        each(x)
    assert torch.equal(frozen.eval()(x), neuron.eval()(x))


def test_tet_may_pull_logits_to_the_mean_of_the_thresholds_that_are_learnt():
    network = nn.ModuleList(LTSNN(v_th=v_th) for v_th in (0.5, 0.75, 9.0))
    network[2].freeze()
    logits, labels = torch.randn(2, 4, 3), torch.tensor([0, 1, 2, 0])
    loss = TET(lam=0.4, target="threshold")
    assert loss(logits, labels).item() == pytest.approx(TET(lam=0.4, target=1.0)(logits, labels).item())
    loss.follow(network)
    assert loss(logits, labels).item() == pytest.approx(TET(lam=0.4, target=0.625)(logits, labels).item())
    assert not [*loss.parameters()]
