"""The reference engine's gradients against finite differences, through a spike that is smooth forward, too."""

import pytest
import torch

from snnbench.neurons import DALIF, LIF
from snnbench.neurons.surrogate import Sigmoid
from tests.neurons.neuron_cases import ALL, STRAIGHT_THROUGH, STREAMING, Smooth, build


@pytest.mark.parametrize("name", [case for case in ALL if case not in STRAIGHT_THROUGH])
def test_gradcheck(name):
    torch.manual_seed(0)
    neuron = build(name, 4, engine="reference", surrogate=Smooth(base=Sigmoid(alpha=2.0))).double()
    keys = [key for key, _ in neuron.named_parameters()]
    values = [value.detach().clone().requires_grad_() for value in neuron.parameters()]
    x = torch.randn(4, 2, 3, 2, dtype=torch.float64, requires_grad=True)

    def spikes(x, *values):
        return torch.func.functional_call(neuron, dict(zip(keys, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(spikes, (x, *values))


@pytest.mark.parametrize("name", [case for case in STREAMING if case not in STRAIGHT_THROUGH])
def test_gradcheck_of_the_state(name):
    """The final state's gradient, and that of the state handed in."""
    torch.manual_seed(1)
    neuron = build(name, 2, engine="reference", surrogate=Smooth(base=Sigmoid(alpha=2.0))).double()
    x = torch.randn(2, 2, 3, dtype=torch.float64)
    start = {key: torch.randn_like(value).requires_grad_() for key, value in neuron.run(x)[1].items()}

    def final(*values):
        spikes, state = neuron.run(x, dict(zip(start, values, strict=True)))
        return spikes, *state.values()

    assert torch.autograd.gradcheck(final, tuple(start.values()))


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_learns(name):
    torch.manual_seed(0)
    neuron = build(name, 3)
    x = (torch.randn(3, 8, 3, 4, 4) + 0.5).requires_grad_()
    (neuron(x) * torch.randn(x.shape)).sum().backward()
    for key, value in [("x", x), *neuron.named_parameters()]:
        assert value.grad is not None, key
        assert value.grad.isfinite().all(), key
        assert value.grad.any(), key


@pytest.mark.parametrize("leak", [None, 0.25])
def test_detach_state_is_what_handing_on_a_detached_state_does(leak):
    torch.manual_seed(2)
    options = {"leak": leak, "v_reset": None, "surrogate": Smooth(base=Sigmoid(alpha=2.0)), "engine": "reference"}
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    weight, total, state = torch.randn(x.shape).double(), 0.0, None
    for t in range(len(x)):
        spikes, state = LIF(**options).run(x[t : t + 1], state)
        total = total + (spikes * weight[t]).sum()
        state = {"v": state["v"].detach()}
    (expected,) = torch.autograd.grad(total, x)
    (found,) = torch.autograd.grad((LIF(detach_state=True, **options)(x) * weight).sum(), x)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    (through,) = torch.autograd.grad((LIF(**options)(x) * weight).sum(), x)
    assert not torch.allclose(through, expected)


def test_detach_reset_cuts_the_reset_only():
    """One neuron, two steps, IF-like: x1 reaches s2 through h1 and, unless detached, through the reset, too."""
    for detach, through_reset in ((True, 0.0), (False, 1.0)):
        spike = Smooth(base=Sigmoid(alpha=4.0))
        options = {"squash": "none", "alpha_init": 1.0, "beta_init": 1.0, "v_th": 1.0}
        neuron = DALIF(detach_reset=detach, surrogate=spike, **options).double()
        x = torch.tensor([0.75, 0.5], dtype=torch.float64, requires_grad=True)
        neuron(x.view(2, 1, 1))[1].sum().backward()
        h1 = 0.75
        s1 = 1 / (1 + torch.tensor(-4 * (h1 - 1)).double().exp())
        h2 = h1 * (1 - s1) + 0.5
        s2 = 1 / (1 + (-4 * (h2 - 1)).exp())
        slope1, slope2 = 4 * s1 * (1 - s1), 4 * s2 * (1 - s2)
        expected = slope2 * ((1 - s1) - through_reset * h1 * slope1)
        assert x.grad[0].item() == pytest.approx(expected.item(), rel=1e-10)
