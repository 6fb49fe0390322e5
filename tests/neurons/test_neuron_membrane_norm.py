"""DA-LIF and LIF with a batch norm on the membrane that fires."""

import pytest
import torch
from torch import nn

from snnbench.errors import UserError
from snnbench.neurons import DALIF, LIF

T = 4


def current(*shape):
    torch.manual_seed(0)
    return torch.randn(shape) * 1.5 + 0.5


def dalif(**options):
    return DALIF(membrane_norm=True, alpha_init=0.9, beta_init=0.3, v_th=0.25, **options)


def lif(**options):
    return LIF(membrane_norm=True, leak=0.25, v_th=0.25, surrogate="tanh", **options)


FACTORS = {dalif: (torch.tensor(0.9).tanh(), torch.tensor(0.3).tanh()), lif: (1.0, 0.25)}
"""Of the input and of the membrane."""


def loop(x, norm, gain, keep, v_th=0.25):
    """The equations, with PyTorch's own norm for the shape."""
    v = torch.zeros_like(x[0])
    spikes = []
    for current in x:
        h = keep * v + gain * current
        s = (norm(h) > v_th).float()
        v = h * (1 - s)
        spikes.append(s)
    return torch.stack(spikes)


@pytest.mark.parametrize("make", FACTORS)
@pytest.mark.parametrize(("shape", "norm"), [((8, 3), nn.BatchNorm1d), ((8, 3, 5, 4), nn.BatchNorm2d)])
def test_it_normalises_what_fires_and_not_what_stays(shape, norm, make):
    theirs = norm(3)
    neuron = make(channels=3)
    for module in (theirs, neuron.norm):
        module.weight.data.copy_(torch.tensor([0.5, 1.0, 2.0]))
        module.bias.data.copy_(torch.tensor([0.3, 0.0, -0.1]))
    x = current(T, *shape)
    assert torch.equal(neuron(x), loop(x, theirs, *FACTORS[make]))
    assert neuron.norm.num_batches_tracked == T
    torch.testing.assert_close(neuron.norm.running_mean, theirs.running_mean)
    torch.testing.assert_close(neuron.norm.running_var, theirs.running_var)
    spikes = neuron.eval()(x)
    assert torch.equal(spikes, loop(x, theirs.eval(), *FACTORS[make]))
    assert 0.05 < spikes.mean() < 0.95
    assert neuron.norm.num_batches_tracked == T


@pytest.mark.parametrize("make", FACTORS)
@pytest.mark.parametrize("training", [True, False])
def test_everything_learns(training, make):
    neuron = make(channels=3).train(training)
    x = current(T, 8, 3, 5, 4).requires_grad_()
    (neuron(x) * torch.randn(x.shape)).sum().backward()
    for key, value in [("x", x), *neuron.named_parameters()]:
        assert value.grad.isfinite().all(), key
        assert value.grad.any(), key


@pytest.mark.parametrize("make", FACTORS)
def test_a_layer_without_channels_is_refused(make):
    with pytest.raises(UserError, match=r"neuron\.membrane_norm=true: needs the number of channels"):
        make()


@pytest.mark.parametrize("make", FACTORS)
def test_it_streams_in_eval(make):
    neuron = make(channels=3)
    x = current(T, 8, 3)
    neuron(x)
    neuron.eval()
    first, state = neuron.run(x[:2])
    assert torch.equal(torch.cat([first, neuron(x[2:], state)]), neuron(x))
