"""The neurons that SpikingJelly has, too: the same spikes, the same gradients."""

import pytest
import torch

from snnbench.neurons import CLIF, GLIF, IF, KLIF, LIF, PLIF, PSN, LIFNoReset, MaskedPSN, SlidingPSN, SpikingNeuron

sj = pytest.importorskip("spikingjelly.activation_based")
from spikingjelly.activation_based import functional  # noqa: E402
from spikingjelly.activation_based import neuron as theirs  # noqa: E402
from spikingjelly.activation_based import surrogate as slopes  # noqa: E402

T, SHAPE = 6, (3, 5, 3, 2)
SLOPES = {
    "atan": lambda: slopes.ATan(2.0),
    "sigmoid": lambda: slopes.Sigmoid(4.0),
    "rectangle": lambda: slopes.Rect(1.0),
    "triangle": lambda: slopes.PiecewiseQuadratic(1.0),
}


def compare(ours, other, x, parameters=()):
    """Same spikes in float32; in float64 also the gradients of x and of (our name, their name)."""
    assert torch.equal(spikes_of(ours, x), spikes_of(other, x))
    weight = torch.randn(x.shape, dtype=torch.float64)
    leaves = [x.double().requires_grad_() for _ in range(2)]
    for module, leaf in zip((ours.double(), other.double()), leaves, strict=True):
        spikes = spikes_of(module, leaf)
        assert 0.05 < spikes.mean() < 0.95
        (spikes * weight).sum().backward()
    close(leaves[0].grad, leaves[1].grad)
    for name, their_name in parameters:
        close(getattr(ours, name).grad, getattr(other, their_name).grad)


def spikes_of(module, x):
    """Spikes of a fresh run. Theirs starts at v_reset, so ours is told to."""
    if not isinstance(module, SpikingNeuron):
        functional.reset_net(module)
        return module(x)
    start = {"v": torch.full_like(x[0], module.v_reset).detach()} if module.v_reset else None
    return module(x, start)


def close(found, expected):
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9 * expected.abs().max().item())


def current(scale=1.5, shift=0.5):
    torch.manual_seed(0)
    return torch.randn(T, *SHAPE) * scale + shift


@pytest.mark.parametrize("v_reset", [0.0, -0.02, -0.06, -0.1])
def test_a_lif_that_starts_at_its_reset_value_is_one_from_0_with_a_higher_threshold(v_reset):
    """As configs/deployed has CLIF's networks, whose input is not divided by tau."""
    other = theirs.LIFNode(tau=2.0, decay_input=False, v_threshold=1.0, v_reset=v_reset, step_mode="m").double()
    x = current(scale=0.8, shift=0.3).double()
    spikes = spikes_of(other, x)
    assert 0.1 < spikes.mean() < 0.9
    assert torch.equal(LIF(decay_input=False, v_th=1 - v_reset, v_reset=0.0, engine="reference")(x), spikes)


RESETS = [0.0, -0.25, None]


def shared(v_reset, detach, slope, v_th=1.0):
    return {"v_threshold": v_th, "v_reset": v_reset, "detach_reset": detach, "step_mode": "m"} | {
        "surrogate_function": SLOPES[slope]()
    }


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("v_reset", RESETS)
@pytest.mark.parametrize("slope", SLOPES)
def test_if(v_reset, detach, slope):
    ours = IF(v_th=0.75, v_reset=v_reset, detach_reset=detach, surrogate=slope)
    compare(ours, theirs.IFNode(**shared(v_reset, detach, slope, 0.75)), current(shift=0.1))


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("v_reset", RESETS)
@pytest.mark.parametrize("decay_input", [False, True])
@pytest.mark.parametrize("tau", [2.0, 3.7])
def test_lif(tau, decay_input, v_reset, detach):
    ours = LIF(tau=tau, decay_input=decay_input, v_reset=v_reset, detach_reset=detach, surrogate="sigmoid")
    other = theirs.LIFNode(tau=tau, decay_input=decay_input, **shared(v_reset, detach, "sigmoid"))
    compare(ours, other, current(2.0, 1.0))


@pytest.mark.parametrize("leak", [0.25, 0.5])
def test_lif_with_a_leak_is_lif_with_its_time_constant(leak):
    other = theirs.LIFNode(tau=1 / (1 - leak), decay_input=False, **shared(0.0, False, "triangle", 0.5))
    compare(LIF(leak=leak, v_th=0.5, surrogate="triangle"), other, current(1.0, 0.2))


@pytest.mark.parametrize("decay_input", [False, True])
def test_lif_without_reset_is_a_psn_with_the_weights_of_its_decay(decay_input):
    """They have none, but without a reset the membrane is linear: h_t = sum_s gain (1 - 1/tau)^(t-s) x_s."""
    lag = torch.arange(T)[:, None] - torch.arange(T)
    weight = (0.25 if decay_input else 1.0) * 0.75 ** lag.clamp(min=0) * (lag >= 0)
    other = theirs.PSN(T=T)
    other.load_state_dict({"weight": weight, "bias": torch.full((T, 1), -1.0)})
    compare(LIFNoReset(tau=4.0, decay_input=decay_input), other, current(1.5, 1.0))


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("v_reset", RESETS)
@pytest.mark.parametrize("decay_input", [False, True])
@pytest.mark.parametrize("tau", [2.0, 1.3])
def test_plif(tau, decay_input, v_reset, detach):
    ours = PLIF(tau=tau, decay_input=decay_input, v_reset=v_reset, detach_reset=detach)
    other = theirs.ParametricLIFNode(init_tau=tau, decay_input=decay_input, **shared(v_reset, detach, "atan"))
    compare(ours, other, current(2.0, 1.0), [("w", "w")])


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("v_reset", RESETS)
@pytest.mark.parametrize("decay_input", [False, True])
@pytest.mark.parametrize("scale_reset", [False, True])
@pytest.mark.parametrize("k", [1.0, 1.6])
def test_klif(k, scale_reset, decay_input, v_reset, detach):
    ours = KLIF(k=k, tau=2.5, decay_input=decay_input, scale_reset=scale_reset, v_reset=v_reset, detach_reset=detach)
    other = theirs.KLIFNode(
        tau=2.5, decay_input=decay_input, scale_reset=scale_reset, **shared(v_reset, detach, "sigmoid")
    )
    torch.nn.init.constant_(other.k, k)
    compare(ours, other, current(2.0, 0.5), [("k", "k")])


@pytest.mark.parametrize("channels", [None, SHAPE[1]])
def test_glif(channels):
    torch.manual_seed(1)
    ours = GLIF(T=T, channels=channels, surrogate="rectangle")
    other = theirs.GatedLIFNode(T=T, inplane=channels, surrogate_function=slopes.Rect(1.0))
    names = {name: name for name in ("alpha", "beta", "gamma", "tau", "conduct")}
    names |= {"v_threshold": "v_threshold", "leak": "linear_decay", "v_re": "v_subreset"}
    assert {key for key, _ in other.named_parameters()} == set(names.values())
    for name, their_name in names.items():
        mine, their = getattr(ours, name), getattr(other, their_name)
        if name not in ("alpha", "beta", "gamma"):
            torch.testing.assert_close(mine, their)
        torch.nn.init.normal_(mine, std=0.5)
        their.data.copy_(mine)
    compare(ours, other, current(1.0, 0.5), names.items())


@pytest.mark.parametrize("tau", [2.0, 1.4])
@pytest.mark.parametrize("slope", ["rectangle", "atan"])
def test_clif(tau, slope):
    other = theirs.ComplementaryLIFNode(tau=tau, surrogate_function=SLOPES[slope](), step_mode="m")
    compare(CLIF(tau=tau, surrogate=slope), other, current())


def copy_weights(ours, other):
    torch.testing.assert_close(ours.bias, other.bias)
    torch.nn.init.normal_(ours.weight)
    torch.nn.init.normal_(ours.bias)
    other.load_state_dict({**other.state_dict(), "weight": ours.weight.detach(), "bias": ours.bias.detach()})


def test_psn():
    ours, other = PSN(T=T), theirs.PSN(T=T)
    copy_weights(ours, other)
    compare(ours, other, current(), [("weight", "weight"), ("bias", "bias")])


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_masked_psn(progress):
    ours, other = MaskedPSN(T=T, k=3), theirs.MaskedPSN(k=3, T=T, step_mode="m")
    copy_weights(ours, other)
    ours.set_progress(progress)
    other.lambda_ = progress
    compare(ours, other, current(), [("weight", "weight"), ("bias", "bias")])


@pytest.mark.parametrize("k", [1, 3, T + 2])
def test_sliding_psn(k):
    ours, other = SlidingPSN(k=k), theirs.SlidingPSN(k=k, step_mode="m")
    torch.testing.assert_close(ours.weight, other.weight)
    copy_weights(ours, other)
    compare(ours, other, current(), [("weight", "weight"), ("bias", "bias")])
