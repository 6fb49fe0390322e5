"""Seed by seed: who is trained, when it ends, what is then said."""

import re
import statistics

import numpy as np
import pytest

from snnbench.bench.campaign import Stage
from tests.bench.made_up import campaign, suite


def noise(*key, sd=0.1):
    return float(np.random.default_rng([len(str(part)) + sum(map(ord, str(part))) for part in key]).normal(0, sd))


def accuracy(gains, sd=0.1):
    """Every neuron shares the seed's own fate, and has its gain and a little noise of its own."""
    return lambda data, neuron, T, seed: (
        90 + 3 * noise(data, seed) + gains[neuron] + noise(data, neuron, T, seed, sd=sd)
    )


def test_it_ends_with_the_first_seed_that_answers_it():
    found, asked, said = campaign(accuracy({"plif": 3.0, "lif": 0.0}), "plif", "lif", suite("digits"))
    (match,) = found.matches
    assert (match.verdict, match.estimate.n) == ("better", 4)
    assert asked == [("digits", neuron, seed) for neuron in ("plif", "lif") for seed in range(4)]
    by_hand = [
        statistics.fmean(
            found.runs["digits", one][T, 2].accuracy("last_epoch") * sign
            for one, sign in ((found.neuron, 1), (found.rivals[0], -1))
            for T in (2, 4)
        )
        * 2
    ]
    assert match.differences[2] == pytest.approx(by_hand[0])
    assert said[0] == "digits: seed 1 of at most 8, 2 neurons; PLIF"  # before anything is known of the time
    assert said[3] == "digits: seed 4 of at most 8, 2 neurons; PLIF"
    assert said[4] == "digits: seed 1 of at most 8, 2 neurons, at most about 4 min left; LIF"  # PLIF's other 4 seeds
    assert re.fullmatch(r"digits: PLIF - LIF: \+\d\.\d\d points \[.*\] after 4 seeds", said[-1])
    assert len(said) == 9


def test_a_rival_of_which_all_is_known_is_trained_no_more():
    gains = {"plif": 1.0, "lif": 0.0, "klif": 0.6}
    found, asked, _ = campaign(accuracy(gains, sd=0.4), "plif", "lif,klif", suite("digits", margin=0.01))
    seeds = {name: [seed for _, neuron, seed in asked if neuron == name] for name in gains}
    assert len(seeds["lif"]) < len(seeds["klif"]) == 8
    assert seeds["plif"] == list(range(8))
    assert [match.estimate.n for match in found.matches] == [len(seeds["lif"]), 8]
    assert [match.verdict for match in found.matches] == ["better", None]
    (part,) = found.suite.parts
    for one in found.contestants:  # in one table, all means are of the same seeds
        assert sorted({seed for _, seed in found.common(part, one)}) == seeds["lif"]


def test_all_data_sets_are_weighed_the_same_over_the_seeds_that_all_have():
    def made(data, neuron, T, seed):
        gain = {"digits": 5.0, "mnist": 0.4}[data] if neuron == "plif" else 0.0
        return 90 + gain + noise(data, neuron, T, seed, sd={"digits": 0.1, "mnist": 0.5}[data])

    found, _, _ = campaign(made, "plif", "lif", suite("digits", "mnist"))
    digits, mnist, overall = found.matches
    assert (digits.estimate.n, mnist.estimate.n, overall.estimate.n) == (4, 8, 4)
    assert overall.data == "all"
    assert overall.differences[3] == pytest.approx((digits.differences[3] + mnist.differences[3]) / 2)
    assert overall.verdict == "better"
    assert found.questions == 3


def test_a_neuron_against_itself_is_no_different():
    found, asked, _ = campaign(accuracy({"lif": 0.0}), "lif", "lif", suite("digits"))
    (match,) = found.matches
    assert (match.verdict, match.estimate.mean, match.estimate.n) == ("same", 0.0, 4)
    assert len(asked) == 4


def test_together_means_wider():
    by_itself, together = (
        campaign(accuracy({"plif": 0.3, "lif": 0.0}), "plif", "lif", suite("digits", "mnist"), together=together)[0]
        for together in (False, True)
    )
    assert together.matches[0].each < by_itself.matches[0].each


def test_what_is_left_counts_what_is_still_to_come():
    found, _, _ = campaign(accuracy({"plif": 0.2, "lif": 0.0}), "plif", "lif", suite("digits", "mnist"))
    digits, mnist = found.suite.parts
    a_seed = 2 * 30.0  # of one neuron, at two T
    assert found.left(Stage(digits, range(4), found.contestants, (mnist,)), 0) == pytest.approx(2 * 8 * 2 * a_seed)
    assert found.left(Stage(digits, range(4), found.contestants[1:], ()), 3) == pytest.approx((1 + 4 * 2) * a_seed)
    assert found.left(Stage(mnist, [6], found.contestants, ()), 6) == pytest.approx(2 * 2 * a_seed)
