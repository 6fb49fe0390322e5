"""What a neuron computes in one timestep, read off its step, against its equation."""

import pytest
import torch
from torch import nn

from snnbench.errors import UserError
from snnbench.neurons import (
    ARLIF,
    ASGL,
    CLIF,
    DALIF,
    GLIF,
    IF,
    KLIF,
    LIF,
    LTLIF,
    LTSNN,
    PLIF,
    PSN,
    GradedLIF,
    SlidingPSN,
    SpikingNeuron,
)
from tests.energy.scripted import Chain, count
from tests.neurons.neuron_cases import NEURONS, make


@pytest.mark.parametrize(
    ("neuron", "products", "resets", "states"),
    [
        (IF(), 0, 1, 1),
        (LIF(tau=2.0), 1, 1, 1),
        (LIF(leak=0.5, v_reset=None), 1, 1, 1),
        (PLIF(), 1, 1, 1),
        (KLIF(), 2, 1, 1),
        (DALIF(), 2, 1, 1),
        (CLIF(), 3, 2, 2),
        (ARLIF(), 5, 2, 2),  # leak v, a tanh(x), c x, and the two halves of the memory times their gates
        (LTLIF(), 1, 1, 1),
        (ASGL(), 2, 1, 1),
        (ASGL(noise=0.2), 2, 1, 1),  # what is drawn is of training alone
        (LTSNN(), 1, 1, 1),  # as a LIF, but for the gradient
        (GradedLIF(), 1, 1, 1),  # leak v; what is handed on is let through or not
        (GLIF(T=3), 2, 1, 2),  # decay v and gain x; the stored spike gates the rest and is no state that is reset
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, SpikingNeuron) else str(value),
)
def test_work_of_a_neuron_is_what_its_equation_says(neuron, products, resets, states):
    synops = count(Chain(neuron), torch.rand(3, 2, 4, 5, 5))
    (work,) = synops.neurons().values()
    assert (work.products, work.resets, work.reads, work.writes) == (products, resets, states, states)
    assert (work.neurons, work.steps) == (100, 3)


def test_parallel_neurons_multiply_over_time():
    for neuron, span in ((PSN(T=3), 3), (SlidingPSN(k=2), 2)):
        (work,) = count(Chain(neuron), torch.rand(3, 2, 4, 5, 5)).neurons().values()
        assert (work.products, work.resets, work.reads, work.writes) == (span, 0, span, 1)


@pytest.mark.parametrize("name", NEURONS)
def test_the_work_of_every_neuron_can_be_told(name):
    (work,) = count(Chain(make(name, 3, channels=4)), torch.rand(3, 2, 4, 5, 5)).neurons().values()
    assert work.reads >= 1
    assert work.writes >= 1


class Untold(SpikingNeuron):
    def step(self, x, state, c, spike):
        return (spike(x) if float(x.sum()) > 0 else spike(-x)), {"v": state["v"]}


def test_a_neuron_that_cannot_be_read_has_no_memory_energy_but_operations():
    synops = count(Chain(Untold(), nn.Linear(4, 2)), torch.rand(3, 2, 4))
    with pytest.raises(UserError, match=r"energy=lemaire.*Untold"):
        synops.energy("lemaire")
    assert synops.energy()["ac"] == 3 * 4 * 2
