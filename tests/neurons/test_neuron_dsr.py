"""DSR: spikes of a LIF neuron, differentiated as a clamp of the mean input. Networks are compared in tests/oracles."""

import math

import pytest
import torch

from snnbench.errors import UserError
from snnbench.neurons import DSR

BETA = math.exp(-0.5)
WEIGHTS = torch.tensor([BETA**2, BETA, 1.0], dtype=torch.float64) / (BETA**2 + BETA + 1)


def outcome(x, weight, **options):
    """Outputs, and the gradients of x [T] and the threshold, of one neuron with dt = 0.5."""
    neuron = DSR(T=len(x), dt=0.5, **options).double()
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    out = neuron(leaf.view(-1, 1)).flatten()
    (out * torch.tensor(weight, dtype=torch.float64)).sum().backward()
    return out.tolist(), leaf.grad, neuron.threshold.grad.item()


def test_spikes_by_hand():
    """h = 0.787, then 0.607 (0.787 - 0.8) + 0 = -0.008, then -0.005 + 1.180: it fires at 0.4, for 0.8 / 0.5."""
    out, _, _ = outcome([2.0, 0.0, 3.0], [1.0, 1.0, 1.0], v_th=0.8)
    assert out == pytest.approx([1.6, 0.0, 1.6])


def test_within_its_range_each_timestep_gets_the_same_share_and_the_threshold_none():
    _, of_x, of_threshold = outcome([0.5, -0.2, 0.9], [1.0, 2.0, -4.0], tau=1.0)
    share = float(WEIGHTS @ torch.tensor([1.0, 2.0, -4.0], dtype=torch.float64))
    assert of_x.tolist() == pytest.approx([share] * 3)
    assert of_threshold == 0.0


def test_above_its_range_the_threshold_gets_it_and_below_nothing_does():
    _, of_x, of_threshold = outcome([3.0, 1.0, 4.0], [1.0, 2.0, -4.0])
    share = float(WEIGHTS @ torch.tensor([1.0, 2.0, -4.0], dtype=torch.float64))
    assert not of_x.any()
    assert of_threshold == pytest.approx(3 * 0.5 * share)
    _, of_x, of_threshold = outcome([-3.0, 1.0, -4.0], [1.0, 2.0, -4.0])
    assert not of_x.any()
    assert of_threshold == 0.0


def test_the_mean_output_is_near_the_mean_input_over_many_timesteps():
    neuron = DSR(T=400, dt=0.01, v_th=0.02, alpha=0.5).double()
    x = torch.linspace(0.1, 1.9, 7, dtype=torch.float64).expand(400, 1, 7)
    weights = torch.tensor(neuron.weights, dtype=torch.float64)[:, None, None]
    assert weights.mean().item() == pytest.approx(1.0)
    torch.testing.assert_close((weights * neuron(x)).mean(0), x[0], rtol=0, atol=0.05)


def test_training_lifts_a_threshold_that_fell_too_low():
    neuron, x = DSR(T=2, v_th_min=0.1), torch.zeros(2, 3)
    neuron.threshold.data.fill_(-1.0)
    neuron.eval()(x)
    assert neuron.threshold.item() == -1.0
    neuron.train()(x)
    assert neuron.threshold.item() == pytest.approx(0.1)


@pytest.mark.parametrize(
    "options", [{"tau": 0.0}, {"dt": 0.0}, {"alpha": 1.5}, {"v_th_min": 0.0}, {"T": 0}, {"engine": "cpu"}]
)
def test_bad_arguments_are_named(options):
    with pytest.raises(UserError, match=f"{next(iter(options))}="):
        DSR(**{"T": 2, **options})
