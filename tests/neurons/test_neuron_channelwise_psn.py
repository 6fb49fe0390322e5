"""The channel-wise PSN against PyTorch's depthwise convolution and batch norm, in float64, and against sums by hand."""

import math

import pytest
import torch
from torch import nn

from snnbench.backbones import SeqNet
from snnbench.backbones.norms import BatchNorm
from snnbench.errors import UserError
from snnbench.neurons import LIF, ChannelwisePSN, SlidingPSN
from snnbench.neurons.base import spiking_layers
from snnbench.neurons.surrogate import Sigmoid
from tests.neurons.neuron_cases import Smooth

T, C = 7, 3


def current(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 1.5 + 0.5


def theirs(neuron, dilation):
    """The same filters as a depthwise convolution over time."""
    conv = nn.Conv1d(C, C, neuron.k, groups=C, dilation=dilation, bias=False).double()
    conv.weight.data.copy_(neuron.weight.data[:, None])
    return conv


def over_time(conv, x):
    """[T, B, C, S] through a causal convolution over [B S, C, T]."""
    rows = nn.functional.pad(x.permute(1, 3, 2, 0).flatten(0, 1), ((conv.weight.shape[-1] - 1) * conv.dilation[0], 0))
    return conv(rows).unflatten(0, (x.shape[1], -1)).permute(3, 0, 2, 1)


def test_five_steps_by_hand():
    """h = 2 x_t - x_{t-2} - 1 in one channel, h = x_t + x_{t-2} / 2 - 1 in the other"""
    neuron = ChannelwisePSN(k=2, dilation=2, channels=2)
    neuron.weight.data.copy_(torch.tensor([[-1.0, 2.0], [0.5, 1.0]]))
    x = torch.tensor([0.5, 0.5, 0.5, 1.0, 0.25]).view(5, 1, 1).expand(5, 1, 2)
    spikes, state = neuron.run(x)
    assert spikes[:, 0, 0].tolist() == [1, 1, 0, 1, 0]  # h = 0 0 -.5 .5 -1
    assert spikes[:, 0, 1].tolist() == [0, 0, 0, 1, 0]  # h = -.5 -.5 -.25 .25 -.5
    assert state["x"][:, 0, 0].tolist() == [1.0, 0.25]


def test_with_equal_filters_it_is_the_sliding_psn():
    ours, other = ChannelwisePSN(k=4, channels=C, init="exponential"), SlidingPSN(k=4)
    x = current(T, 5, C, 2).float()
    assert torch.equal(ours(x), other(x))
    assert ChannelwisePSN(k=4).weight.shape == (4,)


@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_with_a_norm_it_is_a_convolution_and_a_batch_norm(dilation, training):
    spike = Smooth(base=Sigmoid(alpha=2.0))
    neuron = ChannelwisePSN(k=3, dilation=dilation, membrane_norm=True, channels=C, v_th=0.75, surrogate=spike).double()
    conv, norm = theirs(neuron, dilation), nn.BatchNorm2d(C).double()
    assert neuron.norm.bias.tolist() == [-0.75] * C
    for module in (neuron.norm, norm):
        module.weight.data.copy_(torch.tensor([0.5, 1.0, 2.0]))
        module.bias.data.copy_(torch.tensor([-1.0, -0.5, 0.25]))
        module.running_var.copy_(torch.tensor([0.5, 2.0, 1.0]))
        module.train(training)
    neuron.train(training)
    ours, other, weight = (current(T, 4, C, 5).requires_grad_() for _ in range(3))
    spikes = neuron(ours)
    expected = spike(norm(over_time(conv, other).flatten(0, 1)[..., None]).view(T, 4, C, 5))
    torch.testing.assert_close(spikes, expected)
    for found in (spikes, expected):
        (found * weight.detach()).sum().backward()
    torch.testing.assert_close(ours.grad, other.grad)
    torch.testing.assert_close(neuron.weight.grad, conv.weight.grad[:, 0])
    for key in ("weight", "bias"):
        torch.testing.assert_close(getattr(neuron.norm, key).grad, getattr(norm, key).grad)
    for key in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(getattr(neuron.norm, key), getattr(norm, key))


def test_powers_of_two_are_the_nearest_in_the_exponent_and_pass_the_gradient():
    neuron = ChannelwisePSN(k=6, powers_of_two=True, channels=1, surrogate=Smooth())
    neuron.weight.data.copy_(torch.tensor([[0.75, -0.7, 3.0, 0.0, -1.4, 2**-9]]))
    neuron.bias.data.zero_()
    x = torch.zeros(6, 1, 1)
    x[0] = 1.0
    spikes = neuron(x)
    expected = torch.tensor([2**-9, -1.0, 0.0, 4.0, -0.5, 1.0])  # 1.4 < sqrt 2, 0.7 < sqrt 1/2 < 0.75; latest first
    torch.testing.assert_close(spikes.flatten(), Smooth()(expected))
    spikes.sum().backward()
    torch.testing.assert_close(neuron.weight.grad[0].flip(0), neuron.spike.base.derivative(expected))


def test_the_mul_free_neuron_rounds_the_filter_that_holds_the_norm():
    neuron = ChannelwisePSN(k=2, powers_of_two=True, membrane_norm=True, channels=C).double()
    conv, x = theirs(neuron, 1), current(T, 6, C, 2)
    membrane = over_time(conv, x).transpose(0, 2).flatten(1)
    mean, std = membrane.mean(1), membrane.std(1, correction=0)
    gain = 1 / (std.square() + 1e-5).sqrt()
    conv.weight.data *= gain[:, None, None]
    conv.weight.data.apply_(lambda w: math.copysign(2.0 ** round(math.log2(abs(w))), w))
    expected = over_time(conv, x) - 1 - (gain * mean)[:, None]
    assert torch.equal(neuron(x), (expected >= 0).double())
    assert 0 < neuron(x).mean() < 1


def test_in_evaluation_it_streams():
    neuron = ChannelwisePSN(k=3, dilation=2, powers_of_two=True, membrane_norm=True, channels=C).double()
    x = current(T, 4, C)
    neuron(x)
    assert "all timesteps" in neuron.not_fusable
    whole, spikes, state = neuron.eval()(x), [], None
    assert "all timesteps" not in neuron.not_fusable
    for chunk in x.split([1, 4, 2]):
        found, state = neuron.run(chunk, state)
        spikes.append(found)
    assert torch.equal(torch.cat(spikes), whole)


def test_a_norm_needs_channels_and_the_input_the_right_number():
    with pytest.raises(UserError, match=r"neuron.membrane_norm=true: needs the number of channels"):
        ChannelwisePSN(k=2, membrane_norm=True)
    with pytest.raises(ValueError, match=r"ChannelwisePSN: coefficient 'weight' \[3\] does not fit x \[4, 2, 5\]"):
        ChannelwisePSN(k=2, channels=3)(torch.zeros(4, 2, 5))
    with pytest.raises(UserError, match=r"neuron.dilation=0: must be a whole number of at least 1"):
        ChannelwisePSN(k=2, dilation=0)


def seqnet(neuron, dilations):
    sizes = {"T": 32, "in_channels": 3, "num_classes": 10, "image_size": 32, "width": 4}
    return SeqNet(neuron=neuron, norm=BatchNorm, dilations=dilations, **sizes)


def test_the_sequential_network_gives_its_layers_dilations_in_turn():
    net = seqnet(lambda **options: ChannelwisePSN(k=2, **options), [1, 2, 3])
    assert [layer.dilation for layer in spiking_layers(net).values()] == [1, 2, 3, 1, 2, 3, 1]
    images = torch.randn(2, 3, 32, 32, requires_grad=True)
    net.eval()(images)[7].sum().backward()
    assert images.grad[..., 8:].count_nonzero() == 0  # the future


def test_dilations_leave_neurons_without_one_alone_and_must_be_a_list():
    networks = [seqnet(LIF, dilations) for dilations in ([1, 2], None)]
    networks[1].load_state_dict(networks[0].state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(networks[0](images), networks[1](images))
    with pytest.raises(UserError, match=r"backbone.dilations=\[\]: must be a list of whole numbers of at least 1"):
        seqnet(LIF, [])
