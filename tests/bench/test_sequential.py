"""The intervals keep their promise when whoever looks stops as soon as they please."""

import json

import numpy as np
import pytest
from scipy import stats

from snnbench.bench.sequential import estimate, level
from tests.conftest import ROOT

LEAST, MOST, ALPHA, MARGIN = 4, 12, 0.05, 0.5
EACH = level(LEAST, MOST, ALPHA)


def stopped(differences, grid=1e-9):
    """The estimate at which a comparison would stop."""
    found = None
    for n in range(LEAST, MOST + 1):
        found = estimate(differences[:n], EACH, grid)
        if found.verdict(MARGIN):
            break
    return found


def campaigns(truth, sd, count=500, seed=7):
    drawn = np.random.default_rng(seed).normal(truth, sd, (count, MOST))
    return [stopped(list(map(float, one))) for one in drawn]


def test_all_looks_together_miss_as_often_as_they_may():
    """Held against intervals worked out here, of other draws, without any stopping."""
    draws = np.random.default_rng(99).normal(0, 3, (20_000, MOST))
    missed = np.zeros(len(draws), bool)
    naive = missed.copy()
    for n in range(LEAST, MOST + 1):
        t = draws[:, :n].mean(1) / (draws[:, :n].std(1, ddof=1) / n**0.5)
        missed |= abs(t) > stats.t.ppf(1 - EACH / 2, n - 1)
        naive |= abs(t) > stats.t.ppf(1 - ALPHA / 2, n - 1)
    assert missed.mean() == pytest.approx(ALPHA, abs=0.006)
    assert naive.mean() > 0.12  # what looking after each seed does to ordinary intervals


def test_a_single_look_is_students_test_itself():
    assert level(5, 5, 0.05) == pytest.approx(0.05, abs=0.002)
    found = estimate([1.0, 2.0, 4.0, 3.0], 0.05, 1e-9)
    ours = stats.ttest_1samp([1.0, 2.0, 4.0, 3.0], 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((ours.low, ours.high))
    one_sided = stats.ttest_1samp([1.0, 2.0, 4.0, 3.0], 0, alternative="greater").pvalue
    assert found.chance == pytest.approx(1 - one_sided)


@pytest.mark.parametrize(("truth", "sd"), [(0.0, 0.3), (0.25, 0.3), (0.6, 0.3), (0.0, 2.0), (1.0, 2.0)])
def test_the_interval_at_which_one_stops_holds_the_truth(truth, sd):
    found = campaigns(truth, sd)
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.95


@pytest.mark.parametrize("sd", [0.1, 0.3, 2.0])
def test_equal_neurons_are_told_apart_in_less_than_one_of_twenty(sd):
    assert np.mean([one.verdict(MARGIN) in ("better", "worse") for one in campaigns(0.0, sd)]) <= 0.05


def test_a_clear_difference_is_found_soon_and_of_a_small_one_it_is_said_that_it_is_small():
    clear = campaigns(2.0, 0.5, 200)
    assert np.mean([one.verdict(MARGIN) == "better" for one in clear]) > 0.99
    assert np.mean([one.n for one in clear]) < 6
    none = campaigns(0.0, 0.2, 200)
    assert np.mean([one.verdict(MARGIN) == "same" for one in none]) > 0.9
    worse = campaigns(-2.0, 0.5, 200)
    assert np.mean([one.verdict(MARGIN) == "worse" for one in worse]) > 0.99


def test_a_spread_of_nothing_is_not_believed():
    grid = 100 / 359
    found = estimate([grid] * 4, EACH, grid)
    assert found.verdict(MARGIN) is None
    assert found.low < 0 < found.mean
    assert 0.5 < found.chance < 1
    nothing = estimate([0.0] * 4, EACH, grid)
    assert (nothing.mean, nothing.chance, nothing.verdict(MARGIN)) == (0, pytest.approx(0.5), "same")
    assert 0 < nothing.largest < MARGIN


def test_more_questions_at_once_make_each_interval_wider():
    assert level(LEAST, MOST, ALPHA / 3) < EACH / 2


def test_lif_against_itself_with_the_spread_of_real_seeds_is_told_apart_in_less_than_one_of_twenty():
    """Accuracies of two strangers, drawn from those that real runs of LIF had under different seeds."""
    path = ROOT / "benchmarks" / "results" / "bench" / "tiny-plif-lif" / "bench.json"
    cells = [one for one in json.loads(path.read_text())["runs"] if one["neuron"] == "LIF"]
    generator, said = np.random.default_rng(3), []
    for _ in range(400):
        cell = cells[generator.integers(len(cells))]
        ours, theirs = generator.choice(cell["last_epoch"], (2, MOST))
        said.append(stopped(list(map(float, ours - theirs)), grid=100 / 2000).verdict(MARGIN))
    assert sum(one in ("better", "worse") for one in said) <= 0.05 * len(said)
    assert {"same", None} <= {*said}
