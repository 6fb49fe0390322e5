"""Five timesteps of each neuron, worked out by hand.

Where no sigmoid is involved the numbers are exact binary fractions. `v` and `m` are the states after the last step;
the comments give the membrane before firing of each step.
"""

import pytest
import torch

from snnbench.neurons import ARLIF, CLIF, DALIF, GLIF, IF, KLIF, LIF, PLIF, PSN, LIFNoReset, MaskedPSN, SlidingPSN


def drive(neuron, currents):
    """Spikes as a list, final states as floats, of one neuron (one batch element, one channel)."""
    x = torch.tensor(currents, dtype=torch.float64).view(-1, 1, 1)
    spikes, state = neuron.double().run(x)
    return spikes.flatten().tolist(), {key: value.item() for key, value in state.items()}


def set_(neuron, **values):
    with torch.no_grad():
        for key, value in values.items():
            getattr(neuron, key).copy_(torch.as_tensor(value))
    return neuron


HALVES = torch.full((5, 5), 0.5)
PAST_AND_LAST = torch.tensor(
    [
        [0.5, 0.0, 0.0, 0.0, 1.0],
        [0.5, 0.5, 0.0, 0.0, 0.0],
        [0.5, 0.5, 0.5, 0.0, 0.0],
        [0.5, 0.5, 0.5, 0.5, 0.0],
        [0.5, 0.5, 0.5, 0.5, 0.5],
    ]
)

TRACES = {
    # h = .5 .75 1.25 1.5 -.5
    "if": (IF(), [0.5, 0.25, 0.5, 1.5, -0.5], [0, 0, 1, 1, 0], {"v": -0.5}),
    # h = .5 .75 1.25 1.75 .25
    "if-soft": (IF(v_reset=None), [0.5, 0.25, 0.5, 1.5, -0.5], [0, 0, 1, 1, 0], {"v": 0.25}),
    # h = .5 1.25 .5 1.75 .5
    "lif": (LIF(), [1, 2, 1, 3, 1], [0, 1, 0, 1, 0], {"v": 0.5}),
    # h = (v - .5 + x) / 2 = .25 1.125 -> -.5, .25 1.375 -> -.5, -.5
    "lif-rest": (LIF(v_reset=-0.5), [1, 2.5, 1.5, 3, 0], [0, 1, 0, 1, 0], {"v": -0.5}),
    # h = v / 2 + x = .5 .75 .875 .9375 1.46875
    "lif-raw-input": (
        LIF(decay_input=False, v_reset=None),
        [0.5, 0.5, 0.5, 0.5, 1],
        [0, 0, 0, 0, 1],
        {"v": 0.46875},
    ),
    # h = v / 4 + x = .25 .5625 .25 .5625 .125
    "lif-leak": (LIF(leak=0.25, v_th=0.5), [0.25, 0.5, 0.25, 0.5, 0.125], [0, 1, 0, 1, 0], {"v": 0.125}),
    # h = (v + x) / 2 = .5 1.25 .125 1.5625 1.28125
    "lif-no-reset": (LIFNoReset(), [1, 2, -1, 3, 1], [0, 1, 0, 1, 1], {"v": 1.28125}),
    # h = v / 4 + x = .5 1.125 1.03125 .2578125 .564453125
    "lif-no-reset-leak": (LIFNoReset(leak=0.25), [0.5, 1, 0.75, 0, 0.5], [0, 1, 1, 0, 0], {"v": 0.564453125}),
    # sigmoid(0) = 1/2: as LIF
    "plif": (PLIF(), [1, 2, 1, 3, 1], [0, 1, 0, 1, 0], {"v": 0.5}),
    # sigmoid(-ln 3) = 1/4: h = .75 v + x = .5 .875 1.15625 -> .15625, 1.1171875 -> .1171875, 1.087890625
    "plif-soft": (
        PLIF(tau=4, decay_input=False, v_reset=None),
        [0.5, 0.5, 0.5, 1, 1],
        [0, 0, 1, 1, 1],
        {"v": 0.087890625},
    ),
    # f = relu(v + x) = .5 .75 1.25 0 1: fires at the threshold, too
    "klif": (KLIF(k=2.0), [0.5, 0.25, 0.5, -2, 1], [0, 0, 1, 0, 1], {"v": 0}),
    # f = v + x = .5 .75 1.25 -2 -1: without the ReLU a negative membrane is carried on
    "klif-bare": (KLIF(k=2.0, relu=False), [0.5, 0.25, 0.5, -2, 1], [0, 0, 1, 0, 0], {"v": -1}),
    "klif-fixed": (KLIF(k=2.0, learn_k=False), [0.5, 0.25, 0.5, -2, 1], [0, 0, 1, 0, 1], {"v": 0}),
    # f = relu(v + x), v = f / 2: f = .5 .75 .875 1.4375 .5
    "klif-scaled": (KLIF(k=2.0, scale_reset=True), [0.5, 0.5, 0.5, 1, 0.5], [0, 0, 0, 1, 0], {"v": 0.25}),
    # f = relu(v + x), v = (f - s) / 2: f = .5 1.25 .625 1.3125 .65625
    "klif-scaled-soft": (
        KLIF(k=2.0, scale_reset=True, v_reset=None),
        [0.5, 1, 0.5, 1, 0.5],
        [0, 1, 0, 1, 0],
        {"v": 0.328125},
    ),
    # h = .5 v + 2 x = .5 .75 .875 1.4375 .5
    "dalif": (
        DALIF(squash="none", alpha_init=2.0, beta_init=0.5, v_th=1.0),
        [0.25, 0.25, 0.25, 0.5, 0.25],
        [0, 0, 0, 1, 0],
        {"v": 0.5},
    ),
    # h = x - v / 2 = .5 (not above .5) .25 .375 .8125 -> .3125, .59375 -> .09375
    "dalif-negative": (
        DALIF(squash="none", alpha_init="ones", beta_init=-0.5, v_reset=None),
        [0.5, 0.5, 0.5, 1, 0.75],
        [0, 0, 0, 1, 1],
        {"v": 0.09375},
    ),
    # gates 1/2: decay .625, drift .125, gain .75, gamma .5, drop .25, v_th .5
    # h = .625, .625 h/2 - .375 = -.1796875, .5126953125, .5352172852, -.2077445984
    "glif": (
        set_(GLIF(T=5, leak=0.25), alpha=0.0, beta=0.0, gamma=0.0),
        [1, 0, 1, 1, 0],
        [1, 0, 1, 1, 0],
        {"v": -0.2077445984, "s": 0},
    ),
    # h  .5   1.25        .7594707   1.3797354   .7891380
    # m  0    1           .5938093   1.3954399   .8336108
    # v  .5   -.4810586   .7594707   -.4217239   .7891380
    "clif": (CLIF(), [0.5, 1, 1, 1, 1], [0, 1, 0, 1, 0], {"v": 0.7891380450, "m": 0.8336108099}),
    # tanh(a) = .4621172
    # h    .75         1.625      .2795577    2.1397788  -.5061799
    # phi  .2935132    .3920064   .2135523    .4454937   -.2135523
    # m   -.6791787    .7257786  -.0918727    .8791446   -.1411023
    # v    .75        -.4408847   .2795577   -.0123598   -.5061799
    "arlif": (
        set_(ARLIF(), a=0.5, c=2.0),
        [0.75, 1.25, 0.5, 2, -0.5],
        [0, 1, 0, 1, 0],
        {"v": -0.5061798933, "m": -0.1411022605},
    ),
    # h    .75        1.1259916    .4665800    2.0933160   -.3336355
    # phi -.2935132   -.3920064   -.2135523   -.4454937     .2135523
    # m    .6791787    .7772999   -.6224593    .8807971    -.3775407
    # v   -.6200421   -.1670999    .4665800    .8318223    -.3336355
    "arlif-dvs": (
        set_(ARLIF(leak=0.2, carry_memory=False), a=-0.5),
        [0.75, 1.25, 0.5, 2, -0.5],
        [1, 1, 0, 1, 0],
        {"v": -0.3336355357},
    ),
    # h = v / 2 + x = .75 1.375 -> .375, .6875 1.34375 -> .34375, .171875
    "arlif-soft": (
        ARLIF(reset="soft", threshold_adjustment=False),
        [0.75, 1, 0.5, 1, 0],
        [0, 1, 0, 1, 0],
        {"v": 0.171875},
    ),
    # h = v / 2 + x = .75 1.375 -> 0, .5 1.25 -> 0, 0
    "arlif-hard": (
        ARLIF(reset="hard", threshold_adjustment=False),
        [0.75, 1, 0.5, 1, 0],
        [0, 1, 0, 1, 0],
        {"v": 0},
    ),
    # half the sum of all inputs so far, and at t = 0 the last input, too: h = 2.5 .75 1 .5 1.5
    "psn": (set_(PSN(T=5), weight=PAST_AND_LAST), [1, 0.5, 0.5, -1, 2], [1, 0, 1, 0, 1], {}),
    # half the sum of the last two inputs, whatever the rest of W: h = .5 1.25 1 .25 1
    "masked-psn": (
        set_(MaskedPSN(T=5, k=2, lambda_init=1.0), weight=HALVES),
        [1, 1.5, 0.5, 0, 2],
        [0, 1, 1, 0, 1],
        {},
    ),
    # half the sum of all inputs, the future included: h = 2.5 throughout
    "masked-psn-start": (
        set_(MaskedPSN(T=5, k=2), weight=HALVES),
        [1, 1.5, 0.5, 0, 2],
        [1, 1, 1, 1, 1],
        {},
    ),
}


@pytest.mark.parametrize("name", TRACES)
def test_five_steps(name):
    neuron, currents, spikes, final = TRACES[name]
    found, state = drive(neuron, currents)
    assert found == spikes
    assert state == pytest.approx(final, abs=1e-6)


def test_sliding_psn_five_steps():
    """h = x_t + x_{t-1} / 2 + x_{t-2} / 4 = .5 1 1 .4375 1.125"""
    x = torch.tensor([0.5, 0.75, 0.5, 0, 1]).view(-1, 1, 1)
    spikes, state = SlidingPSN(k=3).run(x)
    assert spikes.flatten().tolist() == [0, 1, 1, 0, 1]
    assert state["x"].flatten().tolist() == [0, 1]


@pytest.mark.parametrize(("rate", "progress"), [(1, 0.5), (8, 0.0625)])
def test_masked_psn_in_between(rate, progress):
    """lambda = 1/2: the band counts in full, the rest half."""
    neuron = MaskedPSN(T=4, k=2, lambda_rate=rate)
    neuron.set_progress(progress)
    expected = [[1, 0.5, 0.5, 0.5], [1, 1, 0.5, 0.5], [0.5, 1, 1, 0.5], [0.5, 0.5, 1, 1]]
    torch.testing.assert_close(neuron.time_weight(), neuron.weight * torch.tensor(expected))
    neuron.set_progress(1.0)
    assert neuron.progress == 1


def test_sliding_psn_can_start_from_uniform_weights():
    weight = SlidingPSN(k=10_000, init="uniform").weight
    assert 0.0099 < weight.abs().max() <= 0.01
    assert weight.mean().abs() < 0.0005
