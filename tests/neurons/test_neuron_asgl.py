"""ASGL: the smooth value in the forward pass, by chance, and its gradient, which also reaches the width."""

import math

import numpy as np
import pytest
import torch

from snnbench.backbones.layers import SpikingUnit
from snnbench.backbones.norms import BatchNorm
from snnbench.errors import UserError
from snnbench.neurons import ASGL, LIF

FORMS = {
    "cifar": {"width": 2.5, "noise": 0.3, "surrogate": {"name": "sigmoid", "alpha": 1.0}},
    "dvs": {
        "width": 0.6, "log_slope": True, "learn_leak": False, "noise": 0.4, "v_th": 0.5, "surrogate": "rectangle",
    },
}  # fmt: skip


def current(*shape, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype) + 0.5


def draws(u, noise, T):
    """For each timestep, who is smooth: by the digits of u in a base whose digits are as likely as noise says."""
    found, low, high = [], np.zeros_like(u), np.ones_like(u)
    for _ in range(T):
        cut = low + (1 - noise) * (high - low)
        found.append(u >= cut)
        low, high = np.where(found[-1], cut, low), np.where(found[-1], high, cut)
    return torch.from_numpy(np.stack(found)).double()


def by_hand(neuron, x, smooth):
    """The official class in one expression: the smooth value, and where the mask says so, what lacks to the spike."""
    k = neuron.alpha.exp() if neuron.log_slope else neuron.alpha
    keep = 0.5 if neuron.w is None else 1 / (1 + torch.exp(-neuron.w))
    v, found = 0.0, []
    for current, drawn in zip(x, smooth, strict=True):
        h = keep * v + current
        u = k * (h - neuron.v_th)
        f = (u + 0.5).clamp(0, 1) if neuron.log_slope else 1 / (1 + torch.exp(-u))
        s = f + (((u >= 0).double() - f) * (1 - drawn)).detach()
        found.append(s)
        v = h * (1 - s)
    return torch.stack(found)


@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients_are_the_official_classs_for_the_same_draws(form):
    neuron, x = ASGL(engine="reference", **FORMS[form]).double(), current(6, 5, 7)
    u = torch.rand(5, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    smooth = draws(u.numpy(), FORMS[form]["noise"], 6)
    found = []
    for run in (lambda x: neuron(x, {"draw": u}), lambda x: by_hand(neuron, x, smooth)):
        leaf = x.clone().requires_grad_()
        s = run(leaf)
        found.append([s.detach(), *torch.autograd.grad((s * x.cos()).sum(), [leaf, *neuron.parameters()])])
    assert 0 < smooth.mean() < 1
    for ours, official in zip(*found, strict=True):
        torch.testing.assert_close(ours, official, rtol=0, atol=1e-12)


def test_every_timestep_draws_alone_and_as_often_as_noise_says():
    neuron, u = ASGL(noise=0.2), torch.rand(200_000, generator=torch.Generator().manual_seed(2))
    found = []
    for _ in range(10):
        smooth, u = neuron._draw(u)
        found.append(smooth)
    rates = torch.stack(found)
    spread = math.sqrt(0.2 * 0.8 / 200_000)
    assert (rates.mean(1) - 0.2).abs().max() < 5 * spread
    apart = torch.corrcoef(rates) - torch.eye(10)
    assert apart.abs().max() < 5 / math.sqrt(200_000)


def test_an_evaluation_and_a_training_without_noise_fire_spikes_alone():
    x = current(6, 5, 7, dtype=torch.float32)
    expected = LIF(leak=0.5)(x)
    assert torch.equal(ASGL(width=5.0, noise=0.2).eval()(x), expected)
    assert torch.equal(ASGL(width=5.0)(x), expected)


def test_a_training_draws_anew_in_each_call_and_by_the_seed():
    neuron, x = ASGL(noise=0.5), current(4, 8, 9, dtype=torch.float32)
    torch.manual_seed(3)
    first, second = neuron(x), neuron(x)
    torch.manual_seed(3)
    assert torch.equal(neuron(x), first)
    assert not torch.equal(second, first)
    assert not set(first.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("form", FORMS)
def test_a_kernel_makes_the_same_of_the_same_draws(form):
    x, found = current(6, 5, 7, dtype=torch.float32), []
    u = torch.rand(5, 7, generator=torch.Generator().manual_seed(1))
    for engine in ("reference", "cpu"):
        neuron, leaf = ASGL(engine=engine, **FORMS[form]), x.clone().requires_grad_()
        s = neuron(leaf, {"draw": u})
        found.append([s.detach(), *torch.autograd.grad((s * x).sum(), [leaf, *neuron.parameters()])])
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-5)


def test_behind_a_norm_and_under_record_it_draws_too():
    unit, x = SpikingUnit(BatchNorm(8), ASGL(noise=0.5)), current(1, 4, 8, 3, 3, dtype=torch.float32)
    assert not set(unit(x, repeats=3).unique().tolist()) <= {0.0, 1.0}
    with unit.neuron.record("draw", "s") as traces:
        unit(x, repeats=3)
    assert traces["s"].shape == (3, 4, 8, 3, 3)
    assert not set(traces["s"].unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize(
    "options", [{"noise": 1.0}, {"width": 0.0}, {"leak": 1.0}, {"log_slope": 1}, {"learn_leak": 0}]
)
def test_bad_arguments_are_named(options):
    with pytest.raises(UserError, match=f"neuron.{next(iter(options))}="):
        ASGL(**options)
