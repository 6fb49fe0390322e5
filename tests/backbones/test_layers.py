"""Time folding, the spiking unit, dropout and voting."""

import pytest
import torch
from torch import nn

from snnbench.backbones.heads import Dropout, ModerateDropout, Voting
from snnbench.backbones.layers import Conv2d, MaxPool2d, SpikingUnit, over_time
from snnbench.backbones.norms import BatchNorm
from snnbench.neurons import LIF


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_folding_is_a_view(memory_format):
    x = torch.randn(6, 4, 5, 3).to(memory_format=memory_format).unflatten(0, (2, 3))
    folded = []
    y = over_time(lambda frames: folded.append(frames) or frames, x)
    assert folded[0].shape == (6, 4, 5, 3)
    assert folded[0].data_ptr() == y.data_ptr() == x.data_ptr()
    assert folded[0].is_contiguous(memory_format=memory_format)
    assert torch.equal(x, y)


def test_folding_never_copies():
    with pytest.raises(RuntimeError):
        over_time(lambda frames: frames, torch.randn(3, 2, 4, 5, 5).transpose(0, 1))
    with pytest.raises(RuntimeError):
        over_time(lambda frames: frames, torch.randn(2, 4, 5, 5).expand(3, 2, 4, 5, 5))


def test_layers_act_frame_by_frame():
    x = torch.randn(3, 2, 4, 6, 5)
    conv, pool = Conv2d(4, 3, 3, 2, padding=1), MaxPool2d(2)
    torch.testing.assert_close(conv(x), torch.stack([nn.functional.conv2d(f, conv.weight, conv.bias, 2, 1) for f in x]))
    torch.testing.assert_close(pool(x), torch.stack([nn.functional.max_pool2d(f, 2) for f in x]))


class Recorder(LIF):
    def forward(self, x, state=None):
        self.seen = x
        return super().forward(x, state)


def test_unit_expands_a_static_input_without_storing_it():
    unit = SpikingUnit(BatchNorm(4), Recorder(engine="reference"))
    s = unit(torch.randn(1, 2, 4, 3, 3), repeats=5)
    assert s.shape == (5, 2, 4, 3, 3)
    assert unit.neuron.seen.stride(0) == 0
    assert unit.neuron.seen.shape == s.shape


def test_unit_adds_the_residual_after_the_norm():
    unit = SpikingUnit(BatchNorm(4), Recorder(engine="reference"))
    x, residual = torch.randn(3, 2, 4, 3, 3), torch.randn(3, 2, 4, 3, 3)
    unit(x, residual=residual)
    torch.testing.assert_close(unit.neuron.seen, BatchNorm(4)(x) + residual)


def test_dropout_has_one_mask_for_all_timesteps():
    torch.manual_seed(0)
    x = torch.rand(4, 30, 50) + 0.5
    layer = Dropout(0.3)
    y = layer(x)
    kept = y != 0
    assert torch.equal(kept, kept[:1].expand_as(kept))
    assert kept[0].float().mean().item() == pytest.approx(0.7, abs=0.03)
    torch.testing.assert_close(y[kept], x[kept] / 0.7)
    assert not torch.equal(layer(x) != 0, kept), "a new call draws a new mask"
    assert layer.eval()(x) is x


def test_dropout_per_step_draws_a_mask_for_each_timestep():
    torch.manual_seed(0)
    x = torch.rand(4, 30, 50) + 0.5
    layer = Dropout(0.3, per_step=True)
    y = layer(x)
    kept = y != 0
    assert not any(torch.equal(kept[0], other) for other in kept[1:])
    assert kept.float().mean().item() == pytest.approx(0.7, abs=0.02)
    torch.testing.assert_close(y[kept], x[kept] / 0.7)
    assert layer.eval()(x) is x


def test_moderate_dropout_keeps_those_that_give_most():
    layer = ModerateDropout(0.2)
    x = torch.tensor([[[1.0, 5.0], [3.0, 0.0]], [[1.0, 3.0], [5.0, 2.0]]])  # mean over T: (1, 4), (4, 1)
    kept = layer.probability(x)  # q: (0, 1), (1, 0), so mean q = 1/2
    torch.testing.assert_close(kept, torch.tensor([[0.6, 1.0], [1.0, 0.6]]))
    torch.manual_seed(0)
    for _ in range(20):
        y = layer(x)
        assert torch.equal(y[:, 0, 1], x[:, 0, 1])
        dropped = y[:, 0, 0] == 0
        assert torch.equal(dropped, dropped[:1].expand(2)), "one mask for all timesteps"
        torch.testing.assert_close(y[:, 0, 0][~dropped], x[:, 0, 0][~dropped] / 0.6)
    assert layer.eval()(x) is x


def test_moderate_dropout_drops_as_many_as_it_says():
    torch.manual_seed(0)
    x = torch.rand(3, 200, 100)
    assert (ModerateDropout(0.3)(x)[0] == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_moderate_dropout_of_a_layer_that_gives_the_same_everywhere_is_plain(value):
    torch.manual_seed(0)
    x = torch.full((2, 50, 60), value, requires_grad=True)
    y = ModerateDropout(0.2)(x)
    y.sum().backward()
    torch.testing.assert_close(ModerateDropout(0.2).probability(x), torch.full((50, 60), 0.8))
    assert x.grad.isfinite().all()


def test_voting_averages_each_class():
    spikes = torch.zeros(2, 1, 6)
    spikes[0, 0, :2] = 1
    spikes[1, 0, 5] = 1
    assert torch.allclose(Voting(3)(spikes), torch.tensor([[[2 / 3, 0]], [[0, 1 / 3]]]))
