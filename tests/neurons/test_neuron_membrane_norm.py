"""DA-LIF with a batch norm on the membrane that fires."""

import pytest
import torch
from torch import nn

from snnbench.neurons import DALIF

T = 4


def current(*shape):
    torch.manual_seed(0)
    return torch.randn(shape) * 1.5 + 0.5


def loop(x, norm, alpha=0.9, beta=0.3, v_th=0.25):
    """The equations, with PyTorch's own norm for the shape."""
    v = torch.zeros_like(x[0])
    spikes = []
    for current in x:
        h = torch.tanh(torch.tensor(beta)) * v + torch.tanh(torch.tensor(alpha)) * current
        s = (norm(h) > v_th).float()
        v = h * (1 - s)
        spikes.append(s)
    return torch.stack(spikes)


@pytest.mark.parametrize(("shape", "norm"), [((8, 3), nn.BatchNorm1d), ((8, 3, 5, 4), nn.BatchNorm2d)])
def test_it_normalises_what_fires_and_not_what_stays(shape, norm):
    theirs = norm(3)
    neuron = DALIF(membrane_norm=True, channels=3, alpha_init=0.9, beta_init=0.3, v_th=0.25)
    for module in (theirs, neuron.norm):
        module.weight.data.copy_(torch.tensor([0.5, 1.0, 2.0]))
        module.bias.data.copy_(torch.tensor([0.3, 0.0, -0.1]))
    x = current(T, *shape)
    assert torch.equal(neuron(x), loop(x, theirs))
    assert neuron.norm.num_batches_tracked == T
    torch.testing.assert_close(neuron.norm.running_mean, theirs.running_mean)
    torch.testing.assert_close(neuron.norm.running_var, theirs.running_var)
    spikes = neuron.eval()(x)
    assert torch.equal(spikes, loop(x, theirs.eval()))
    assert 0.05 < spikes.mean() < 0.95
    assert neuron.norm.num_batches_tracked == T


@pytest.mark.parametrize("training", [True, False])
def test_everything_learns(training):
    neuron = DALIF(membrane_norm=True, channels=3).train(training)
    x = current(T, 8, 3, 5, 4).requires_grad_()
    (neuron(x) * torch.randn(x.shape)).sum().backward()
    for key, value in [("x", x), *neuron.named_parameters()]:
        assert value.grad.isfinite().all(), key
        assert value.grad.any(), key


def test_it_streams_in_eval():
    neuron = DALIF(membrane_norm=True, channels=3)
    x = current(T, 8, 3)
    neuron(x)
    neuron.eval()
    first, state = neuron.run(x[:2])
    assert torch.equal(torch.cat([first, neuron(x[2:], state)]), neuron(x))
