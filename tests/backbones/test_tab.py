"""TAB against PyTorch's norm over the timesteps up to each one."""

import copy

import pytest
import torch
from torch import nn

from snnbench.backbones.layers import SpikingUnit
from snnbench.backbones.tab import TemporalAccumulatedNorm
from snnbench.neurons import LIF

T, C = 3, 4


def made(**options):
    """A norm in float64 in which timesteps differ."""
    torch.manual_seed(1)
    norm = TemporalAccumulatedNorm(C, T=T, momentum=0.3, **options).double()
    for value in norm.parameters():
        value.data.uniform_(0.5, 1.5)
    return norm


def frames(*shape):
    torch.manual_seed(0)
    return (torch.randn(shape, dtype=torch.float64) * 2 + 1).requires_grad_()


def accumulated(x, norm, training):
    """A frame at a time, by PyTorch's norm over [B, C, T, ...]; and those norms."""
    theirs = [nn.BatchNorm3d(C, momentum=0.3).double().train(training) for _ in range(T)]
    found = []
    for t, (other, own) in enumerate(zip(theirs, norm.norms, strict=True)):
        other.load_state_dict(own.bn.state_dict())
        seen = x[: t + 1].unflatten(-1, (-1, 1)) if x.dim() == 4 else x[: t + 1]
        found.append(other(seen.permute(1, 2, 0, 3, 4))[:, :, t].view_as(x[t]) * norm.p[t] ** 2)
    return torch.stack(found), theirs


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(T, 2, C, 3, 5), (T, 6, C, 1, 1)])
def test_each_timestep_is_normalised_by_those_up_to_it(shape, training):
    x, norm = frames(*shape), made().train(training)
    expected, theirs = accumulated(x, norm, training)
    found = norm(x)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(x)
    inputs = [x, *norm.parameters()]
    grads = torch.autograd.grad((found * weight).sum(), inputs, retain_graph=True)
    others = [x, norm.p, *(value for other in theirs for value in (other.weight, other.bias))]
    torch.testing.assert_close(grads, torch.autograd.grad((expected * weight).sum(), others))
    for own, other in zip(norm.norms, theirs, strict=True):
        for key, value in other.state_dict().items():
            torch.testing.assert_close(own.bn.state_dict()[key], value)


def test_vectors_are_maps_of_one_pixel():
    x, norm = frames(T, 6, C), made()
    assert torch.equal(norm(x), copy.deepcopy(norm)(x[..., None, None])[..., 0, 0])


@pytest.mark.parametrize("training", [True, False])
def test_one_frame_stands_for_all(training):
    once = made().train(training)
    each = copy.deepcopy(once)
    x = frames(1, 2, C, 3, 3)
    torch.testing.assert_close(once(x, T), each(x.repeat(T, 1, 1, 1, 1)))
    for key, value in each.state_dict().items():
        torch.testing.assert_close(once.state_dict()[key], value)


def test_a_unit_hands_a_frame_of_each_timestep_to_the_neuron():
    norm, x = made(), frames(1, 2, C, 3, 3)
    unit = SpikingUnit(norm, LIF(v_th=0.3))
    other = copy.deepcopy(unit)
    residual = (torch.rand(T, 2, C, 3, 3) < 0.5).double()
    found = unit(x, T, residual)
    assert torch.equal(found, other.neuron(other.norm(x, T) + residual))
    assert not torch.equal(found[0], found[1])


def test_the_factor_of_norms_that_are_added_is_their_weights():
    x = frames(T, 5, C, 2, 2)
    half = made(gain=0.5)
    for norm in half.norms:
        norm.bn.bias.data.zero_()
    whole = TemporalAccumulatedNorm(C, T=T).double()
    whole.load_state_dict(half.state_dict())
    torch.testing.assert_close(half(x), 0.5 * whole(x))


def test_another_number_of_timesteps_is_refused():
    with pytest.raises(ValueError, match="norm=tab is made for 3 timesteps, and got 2"):
        made()(frames(2, 2, C, 3, 3))
    with pytest.raises(ValueError, match="got 4"):
        made()(frames(1, 2, C, 3, 3), 4)
