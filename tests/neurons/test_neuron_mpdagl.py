"""MPD-AGL's width: what the surrogate's gradient sees of the norm before the neuron."""

import copy
import math

import pytest
import torch
from torch import nn

from snnbench.backbones.layers import SpikingUnit
from snnbench.backbones.norms import BatchNorm
from snnbench.errors import UserError
from snnbench.neurons import MPDAGL


def slopes(neuron: MPDAGL, x: list[float]) -> list[float]:
    """d s_t / d x_t of one neuron that keeps nothing, so that timesteps stand for themselves."""
    neuron.w.data.fill_(-40.0)
    frames = torch.tensor(x, requires_grad=True)
    neuron(frames.view(-1, 1, 1)).sum().backward()
    return frames.grad.tolist()


def followed(gamma: float) -> MPDAGL:
    norm = BatchNorm(2)
    norm.bn.weight.data.copy_(torch.tensor([gamma - 0.5, gamma + 0.5]))
    return SpikingUnit(norm, MPDAGL(engine="reference")).neuron


def test_the_window_is_as_wide_as_the_norms_mean_weight_says():
    assert slopes(followed(1.5), [1.24, 1.26, -0.24]) == pytest.approx([1 / 1.5, 0.0, 1 / 1.5])
    assert slopes(MPDAGL(engine="reference"), [0.99, 1.01]) == pytest.approx([1.0, 0.0])


def test_it_is_wider_after_the_first_timestep():
    neuron = followed(1.5)
    neuron.w.data.zero_()
    later = neuron.coefficients()
    assert later["first"].item() == pytest.approx(1.5)
    assert (later["first"] + later["grows"]).item() == pytest.approx(1.5 * math.sqrt(1.25))


def test_a_width_changes_no_spike():
    x = torch.randn(4, 8, 2)
    narrow, wide = followed(0.01), followed(30.0)
    assert torch.equal(narrow(x), wide(x))
    assert torch.equal(narrow.eval()(x), wide(x))


def test_a_copied_unit_follows_its_own_norm():
    unit = SpikingUnit(BatchNorm(2), MPDAGL())
    other = copy.deepcopy(unit)
    other.norm.bn.weight.data.fill_(3.0)
    assert other.neuron.coefficients()["first"].item() == pytest.approx(3.0)
    assert unit.neuron.coefficients()["first"].item() == pytest.approx(1.0)


def test_a_norm_without_a_weight_is_refused():
    with pytest.raises(UserError, match="neuron=mpdagl: reads the mean weight of the norm before it, and Identity"):
        SpikingUnit(nn.Identity(), MPDAGL())
