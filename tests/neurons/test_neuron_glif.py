"""GLIF's gates: how they start, and rounded gates against loops written from the equations."""

import math

import pytest
import torch
from neuron_cases import Smooth

from snnbench.neurons import GLIF
from snnbench.neurons.surrogate import Sigmoid

GATES = ("alpha", "beta", "gamma")


def glif(x, neuron, alpha, beta, gamma):
    """Spikes of x [T, B, C] with the given openings of the gates."""
    tau, v_th, leak, v_re = (getattr(neuron, key).sigmoid() for key in ("tau", "v_threshold", "leak", "v_re"))
    v = s = torch.zeros_like(x[0])
    spikes = []
    for t in range(len(x)):
        current = x[t] * (1 - beta * (1 - neuron.conduct[t].sigmoid()))
        v = v * (1 - alpha * (1 - tau)) * (1 - gamma * s) - (1 - alpha) * leak + current - (1 - gamma) * v_re * s
        s = neuron.spike(v - v_th)
        spikes.append(s)
    return torch.stack(spikes)


@pytest.mark.parametrize("opened", [(0, 0, 0), (1, 1, 1), (0, 1, 0), (1, 0, 1)])
def test_hard_gates_are_rounded_and_pass_their_gradient_to_the_sigmoid(opened):
    torch.manual_seed(0)
    starts = {gate: 0.7 if one else 0.4 for gate, one in zip(GATES, opened, strict=True)}
    neuron = GLIF(T=4, channels=3, hard_gates=True, surrogate=Smooth(base=Sigmoid()), engine="reference", **starts)
    neuron = neuron.double()
    x = torch.randn(4, 5, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn_like(x)
    openings = [torch.full((3,), float(one), dtype=torch.float64, requires_grad=True) for one in opened]
    expected = glif(x, neuron, *openings)
    *by_opening, by_x = torch.autograd.grad((expected * weight).sum(), [*openings, x])
    spikes = neuron(x)
    torch.testing.assert_close(spikes, expected, rtol=1e-12, atol=1e-12)
    *by_gate, by_x_too = torch.autograd.grad((spikes * weight).sum(), [*(getattr(neuron, g) for g in GATES), x])
    torch.testing.assert_close(by_x_too, by_x)
    for gate, found, opening in zip(GATES, by_gate, by_opening, strict=True):
        slope = getattr(neuron, gate).sigmoid() * (1 - getattr(neuron, gate).sigmoid())
        torch.testing.assert_close(found, opening * slope.detach())
        assert found.any(), gate


def test_a_hard_gate_of_one_half_is_closed():
    neuron = GLIF(T=1, hard_gates=True, alpha=0.5, beta=0.5, gamma=0.5, leak=0.25)
    assert neuron.coefficients()["gamma"].item() == 0
    assert neuron.coefficients()["drift"].item() == 0.25  # (1 - alpha) leak


def test_gates_start_where_they_are_told_to_or_near_one_half():
    torch.manual_seed(0)
    told = GLIF(T=2, channels=4, alpha=0.55, beta=0.65)
    assert torch.allclose(told.alpha, torch.tensor(math.log(0.55 / 0.45)))
    assert torch.allclose(told.beta.sigmoid(), torch.tensor(0.65))
    drawn = GLIF(T=2, channels=10_000).gamma
    assert drawn.abs().max() < 0.1
    assert drawn.std().item() == pytest.approx(0.2 / math.sqrt(12), rel=0.03)
    assert len(told.gamma.unique()) == 4


@pytest.mark.parametrize("engine", ["cpu", "reference"])
def test_hard_gates_run_on_both_engines(engine):
    torch.manual_seed(0)
    neuron = GLIF(T=4, channels=3, hard_gates=True, alpha=0.55, beta=0.65, gamma=0.45, engine=engine)
    x = torch.randn(4, 5, 3)
    spikes = glif(x, neuron, *(torch.tensor(opening) for opening in (1.0, 1.0, 0.0)))
    assert torch.equal(neuron(x), spikes)
    assert spikes.any()
