"""AR-LIF and DA-LIF, which no framework has, against NumPy loops written from the published equations."""

import numpy as np
import pytest
import torch

from snnbench.neurons import ARLIF, DALIF
from snnbench.neurons.surrogate import Rectangle, Sigmoid
from tests.neurons.neuron_cases import Smooth

T, SHAPE, STEP = 4, (2, 3), 1e-6


def sigma(z):
    return 1 / (1 + np.exp(-z))


def heaviside(u):
    return (u >= 0).astype(np.float64)


def smooth(u):
    return sigma(4 * u)


def arlif(x, a, c, fire, leak=0.5, carry=True, reset="adaptive"):
    v = m = np.zeros_like(x[0])
    spikes = []
    for t in range(len(x)):
        v = leak * v + x[t]
        phi = np.tanh(a) * np.tanh(x[t])
        s = fire(v - 1 - phi)
        if not carry:
            m = np.zeros_like(x[0])
        m = np.maximum(m, 0) * sigma(c * x[t]) - np.maximum(-m, 0) * (1 - sigma(c * x[t]))
        m = m + s * sigma(x[t]) - (1 - s) * sigma(x[t])
        v = {
            "adaptive": v - s * (1 + sigma(m) + phi),
            "soft": v - s * (1 + phi),
            "hard": v * (1 - s),
        }[reset]
        spikes.append(s)
    return np.stack(spikes)


SQUASH = {"tanh": np.tanh, "sigmoid": sigma, "none": lambda z: z}


def dalif(x, alpha, beta, fire, squash="tanh", v_th=0.5, v_reset=0.0):
    v = np.zeros_like(x[0])
    spikes = []
    for t in range(len(x)):
        h = SQUASH[squash](beta) * v + SQUASH[squash](alpha) * x[t]
        s = fire(h - v_th)
        v = h - s * v_th if v_reset is None else h * (1 - s) + v_reset * s
        spikes.append(s)
    return np.stack(spikes)


def slopes(function, arguments, weight):
    """Central differences of sum(weight * function(*arguments)) in each entry of each argument."""
    gradients = []
    for i, value in enumerate(arguments):
        gradient = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            ends = []
            for side in (STEP, -STEP):
                moved = value.copy()
                moved[index] += side
                ends.append((weight * function(*arguments[:i], moved, *arguments[i + 1 :])).sum())
            gradient[index] = (ends[0] - ends[1]) / (2 * STEP)
        gradients.append(gradient)
    return gradients


def check(make, function, parameters):
    """`make(spike)` against `function(x, *parameters, fire)`: hard spikes forward, smooth ones for the gradients."""
    rng = np.random.default_rng(0)
    x, weight = rng.normal(0.6, 1.2, (T, *SHAPE)), rng.normal(size=(T, *SHAPE))
    values = [np.array(value) for value in parameters.values()]

    def module(spike):
        neuron = make(spike).double()
        for name, value in parameters.items():
            torch.nn.init.constant_(getattr(neuron, name), value)
        return neuron

    wide = rng.normal(0.6, 1.2, (12, 40, 3))
    expected = function(wide, *values, heaviside)
    assert 0.05 < expected.mean() < 0.95
    assert np.array_equal(module(Rectangle())(torch.tensor(wide)).detach().numpy(), expected)

    neuron = module(Smooth(base=Sigmoid(alpha=4.0)))
    leaf = torch.tensor(x, requires_grad=True)
    (neuron(leaf) * torch.tensor(weight)).sum().backward()
    found = [leaf.grad, *(getattr(neuron, name).grad for name in parameters)]
    expected = slopes(lambda *arguments: function(*arguments, smooth), [x, *values], weight)
    for ours, numeric in zip(found, expected, strict=True):
        assert np.abs(numeric).max() > 1e-4
        np.testing.assert_allclose(ours.numpy(), numeric, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("leak", [0.5, 0.2])
@pytest.mark.parametrize("a", [0.0, 0.6, -0.8])
def test_arlif(a, leak):
    check(
        lambda spike: ARLIF(leak=leak, surrogate=spike),
        lambda x, a, c, fire: arlif(x, a, c, fire, leak=leak),
        {"a": a, "c": 1.3},
    )


@pytest.mark.parametrize("a", [0.0, 0.6])
def test_arlif_without_carried_memory(a):
    """The official CIFAR10-DVS code. c multiplies a memory that is always 0 there: it is no parameter here."""
    check(
        lambda spike: ARLIF(leak=0.2, carry_memory=False, surrogate=spike),
        lambda x, a, fire: arlif(x, a, 1.0, fire, leak=0.2, carry=False),
        {"a": a},
    )
    neuron = ARLIF(carry_memory=False)
    assert neuron.c is None
    assert neuron.states == ("v",)


@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_arlif_with_a_plain_reset(reset):
    check(
        lambda spike: ARLIF(reset=reset, surrogate=spike),
        lambda x, a, fire: arlif(x, a, 1.0, fire, reset=reset),
        {"a": 0.4},
    )
    assert ARLIF(reset=reset).states == ("v",)


def test_arlif_without_threshold_adjustment():
    check(
        lambda spike: ARLIF(threshold_adjustment=False, surrogate=spike),
        lambda x, c, fire: arlif(x, 0.0, c, fire),
        {"c": 0.7},
    )
    assert ARLIF(threshold_adjustment=False).a is None


@pytest.mark.parametrize("v_reset", [0.0, -0.25, None])
@pytest.mark.parametrize("squash", SQUASH)
def test_dalif(squash, v_reset):
    check(
        lambda spike: DALIF(squash=squash, v_reset=v_reset, surrogate=spike),
        lambda x, alpha, beta, fire: dalif(x, alpha, beta, fire, squash, v_reset=v_reset),
        {"alpha": 0.8, "beta": 0.3},
    )


@pytest.mark.parametrize(("learnt", "frozen"), [("alpha", "beta"), ("beta", "alpha")])
def test_dalif_with_one_decay_fixed(learnt, frozen):
    def function(x, value, fire):
        return dalif(x, fire=fire, **{learnt: value, frozen: 0.4})

    options = {f"learn_{frozen}": False, f"{frozen}_init": 0.4}
    check(lambda spike: DALIF(surrogate=spike, **options), function, {learnt: 0.9})
    neuron = DALIF(**options)
    assert [name for name, _ in neuron.named_parameters()] == [learnt]


def test_dalif_starts_near_the_fixed_decay_baseline():
    coefficients = DALIF().coefficients()
    assert coefficients["beta"].item() == pytest.approx(0.25, abs=1e-7)
    assert coefficients["alpha"].item() == pytest.approx(np.tanh(2.0), abs=1e-7)


def test_dalif_initial_values():
    torch.manual_seed(3)
    drawn = {DALIF(alpha_init="randn").alpha.item() for _ in range(5)}
    assert len(drawn) == 5
    neuron = DALIF(squash="sigmoid", alpha_init="ones", beta_init=-0.5)
    assert (neuron.alpha.item(), neuron.beta.item()) == (1.0, -0.5)
