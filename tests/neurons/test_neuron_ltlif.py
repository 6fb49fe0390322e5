"""LTMD's neurons against numbers worked by hand."""

import math

import pytest
import torch

from snnbench.errors import UserError
from snnbench.neurons import LIF, LTLIF, GradedLIF

THRESHOLD = math.tanh(0.5)  # 0.4621


def over_time(*x):
    return torch.tensor(x, dtype=torch.float64, requires_grad=True)


def test_the_threshold_is_where_the_parameter_says_and_learns_from_the_spikes_near_it():
    neuron = LTLIF(v_reset=None, leak=0.5).double()
    x = over_time(0.4, 0.4, 0.6)  # h: 0.4; 0.2 + 0.4 = 0.6, fires; (0.6 - 0.4621) / 2 + 0.6 = 0.669, fires
    spikes = neuron(x.view(3, 1, 1)).view(3)
    assert spikes.tolist() == [0, 1, 1]
    spikes[0].backward()
    slope = 1.0  # of the rectangle
    assert x.grad.tolist() == [slope, 0, 0]
    assert neuron.w.grad.item() == pytest.approx(-slope * (1 - THRESHOLD**2))


def test_with_a_threshold_that_stays_it_is_a_lif():
    x = torch.randn(5, 4, 3, 2) + 0.3
    same = LIF(leak=0.25, v_th=THRESHOLD, surrogate={"name": "rectangle", "strict": True})
    assert torch.equal(LTLIF()(x), same(x))


def test_a_graded_neuron_hands_on_its_membrane_where_it_fires_and_starts_anew():
    x = over_time(0.4, 0.8, 0.5, -0.1)
    outputs = GradedLIF(leak=0.5).double()(x.view(4, 1, 1)).view(4)
    # h: 0.4; 0.2 + 0.8 = 1.0, fires; 0.5, fires; -0.1
    assert outputs.tolist() == [0, pytest.approx(1.0), pytest.approx(0.5), 0]


@pytest.mark.parametrize(("h", "slope"), [(-0.04, 0.0), (-0.03, 1.0), (0.4, 1.0), (3.0, 1.0)])
def test_its_gradient_passes_down_to_a_little_under_the_threshold(h, slope):
    x = over_time(h)
    GradedLIF(below=0.5).double()(x.view(1, 1, 1)).sum().backward()
    assert x.grad.tolist() == [slope]


def test_its_gradient_passes_the_membrane_and_not_the_reset():
    x = over_time(0.4, 0.8, 0.6)  # fires at the second, so that the third knows nothing of the first two
    GradedLIF(leak=0.5).double()(x.view(3, 1, 1))[1:].sum().backward()
    assert x.grad.tolist() == [0.5, 1.0, 1.0]


@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_graded_outputs_are_stored_in_the_type_of_the_input(engine, dtype):
    x = torch.tensor([0.7001, 1.2345]).to(dtype)
    outputs = GradedLIF(engine=engine)(x.view(1, 1, 2))
    assert outputs.dtype == dtype
    assert torch.equal(outputs.view(2), x)


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (LTLIF, {"w": 0.0}, r"neuron.w=0.0: must be a number in \(0, inf\)"),
        (LTLIF, {"leak": 1.1}, "neuron.leak=1.1"),
        (LTLIF, {"v_reset": 0.5}, "neuron.v_reset=0.5: .* below neuron.v_th"),
        (GradedLIF, {"below": -1}, r"neuron.below=-1: must be a number in \[0, inf\)"),
        (GradedLIF, {"v_th": 0.0}, "neuron.v_th=0.0"),
    ],
)
def test_a_bad_argument_is_named(cls, options, message):
    with pytest.raises(UserError, match=message):
        cls(**options)
