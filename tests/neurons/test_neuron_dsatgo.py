"""DS-ATGO in training: a threshold and a width that follow the membrane potentials of the batch."""

import math

import pytest
import torch

from snnbench.neurons import DSATGO

T = 3


def current(*shape):
    torch.manual_seed(0)
    return (torch.randn(shape, dtype=torch.float64) * 1.5 + 0.5).requires_grad_()


def loop(x, w, running, v_th=1.0, momentum=0.1):
    """The equations with NumPy's moments: spikes, widths, and h - theta of every timestep."""
    v, spikes, widths, above = torch.zeros_like(x[0]), [], [], []
    for t, now in enumerate(x.detach()):
        h = v / (1 + math.exp(-w)) + now
        deviation = h.numpy().std(ddof=1)
        theta = h.numpy().mean() + deviation
        running[t] = (1 - momentum) * running[t] + momentum * theta
        s = (h >= theta).double()
        v = h * (1 - s)
        spikes.append(s)
        above.append(h - theta)
        widths.append(1 + math.tanh(deviation - v_th))
    return torch.stack(spikes), widths, torch.stack(above)


def test_the_threshold_is_the_mean_plus_the_deviation_of_the_layer():
    neuron = DSATGO(T=T, tau=3.0, momentum=0.25, v_th=0.8).double()
    x, running = current(T, 4, 2, 5, 3), [0.8] * T
    for _ in range(2):
        expected, _, _ = loop(x, neuron.w.item(), running, v_th=0.8, momentum=0.25)
        assert torch.equal(neuron(x), expected)
        assert neuron.running.tolist() == pytest.approx(running)
    assert 0.1 < expected.mean() < 0.25


def test_evaluation_fires_at_the_running_thresholds():
    neuron = DSATGO(T=T).double()
    x = current(T, 4, 2)
    neuron(x)
    running = neuron.eval().running.clone()
    v, spikes = torch.zeros_like(x[0]), []
    for now, theta in zip(x, running, strict=True):
        h = neuron.w.sigmoid() * v + now
        spikes.append((h >= theta).double())
        v = h * (1 - spikes[-1])
    assert torch.equal(neuron(x), torch.stack(spikes))
    assert torch.equal(neuron.running, running)


@pytest.mark.parametrize("spread", [0.05, 1.0, 3.0])
def test_the_surrogate_is_as_wide_as_the_deviation_says(spread):
    """Nothing is kept, so that timesteps stand for themselves; threshold and width have no gradient."""
    neuron = DSATGO(T=T).double()
    neuron.w.data.fill_(-40.0)
    x = (current(T, 400).detach() * spread / 1.5).requires_grad_()
    neuron(x).sum().backward()
    _, widths, above = loop(x, -40.0, [1.0] * T)
    for t, width in enumerate(widths):
        torch.testing.assert_close(x.grad[t], (above[t].abs() < width / 2).double() / width)
    assert x.grad.any()


def test_a_layer_that_holds_the_same_number_everywhere_still_learns():
    neuron = DSATGO(T=1, v_th=50.0)  # 1 + tanh(0 - 50) is 0 in float32
    x = torch.full((1, 2, 3), 0.5, requires_grad=True)
    neuron(x).sum().backward()
    assert x.grad.isfinite().all()


def test_one_number_has_no_deviation():
    with pytest.raises(ValueError, match="more than one number a timestep"):
        DSATGO(T=1)(torch.ones(1, 1, 1))
    DSATGO(T=1).eval()(torch.ones(1, 1, 1))


def test_a_checkpoint_holds_the_running_thresholds():
    neuron, other = DSATGO(T=T), DSATGO(T=T)
    neuron(current(T, 4, 2).float())
    other.load_state_dict(neuron.state_dict())
    assert torch.equal(other.running, neuron.running)
    assert not torch.equal(other.running, torch.ones(T))
