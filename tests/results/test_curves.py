"""The authors' curve beside one's own: on simulated curves, and by scripts/tables.py on a folder of real runs."""

import math
import random
import shutil

import pytest

from snnbench.official import OfficialCurve, curve_of
from snnbench.results.curves import blocks, excursions, noise, verdict
from tests.lab import ROW

OFFICIAL = curve_of("psn/seqcifar100_seqnet_t32_lif").accuracy
SPREAD = 0.5


def own(seed, shift=lambda epoch: 0.0, epochs=256, spread=SPREAD):
    rng = random.Random(seed)
    return {e: OFFICIAL[e] + shift(e) + rng.gauss(0, spread) for e in range(epochs)}


@pytest.mark.parametrize("epochs", [5, 12, 30, 100, 256])
def test_the_same_curve_with_noise_of_its_own_agrees(epochs):
    said = [verdict(blocks(own(seed, epochs=epochs), OFFICIAL, tolerance=0.3)) for seed in range(100)]
    assert sum(v.agrees for v in said) >= 98


def test_even_without_a_tolerance_most_draws_agree_and_few_blocks_are_outside():
    found = [blocks(own(seed), OFFICIAL, tolerance=0.0) for seed in range(200)]
    assert sum(verdict(one).agrees for one in found) >= 196
    assert sum(bool(excursions(one)) for one in found) <= 2
    outside = sum(block.side != 0 for one in found for block in one)
    assert outside <= 0.005 * sum(map(len, found))


@pytest.mark.parametrize(("shift", "word"), [(3 * SPREAD, "above"), (-3 * SPREAD, "below")])
def test_a_curve_that_leaves_by_three_spreads_differs_from_about_there_on(shift, word):
    for seed in range(50):
        said = verdict(blocks(own(seed, lambda e: shift if e >= 120 else 0.0), OFFICIAL, tolerance=0.3))
        assert str(said).startswith(word)
        assert 96 <= said.since <= 136


def test_a_curve_that_comes_back_agrees_from_there_on_and_its_excursion_is_named():
    found = blocks(own(1, lambda e: -3.0 if 56 <= e < 136 else 0.0), OFFICIAL, tolerance=0.3)
    said = verdict(found)
    assert (said.agrees, said.since) == (True, 136)
    assert str(said) == "agrees from epoch 136 on"
    assert excursions(found) == [(-1, 56, 135)]


def test_within_the_tolerance_is_no_difference_however_little_noise_there_is():
    still = {e: OFFICIAL[e] + 0.4 for e in range(256)}
    assert verdict(blocks(still, OFFICIAL, tolerance=0.5)).agrees
    assert not verdict(blocks(dict.fromkeys(range(256), 40.4), [40.0] * 256, tolerance=0.3)).agrees


def test_blocks_cover_each_shared_epoch_once_and_the_last_is_whole():
    for epochs in (5, 19, 20, 41, 256, 300):
        curve = {e: float(e) for e in range(epochs)}
        found = blocks(curve, OFFICIAL, 0.0)
        covered = [e for block in found for e in range(block.first, block.last + 1)]
        assert covered == list(range(min(epochs, 256)))
    assert blocks(dict.fromkeys(range(2), 1.0), OFFICIAL, 0.0) == []
    assert len(blocks(dict.fromkeys(range(4), 1.0), OFFICIAL, 0.0)) == 1
    assert found[-1].last - found[-1].first == 19


def test_noise_is_the_standard_deviation_without_trend():
    rng = random.Random(0)
    values = [3 * e + rng.gauss(0, 2.0) for e in range(20000)]
    assert noise(values) == pytest.approx(2.0, rel=0.03)
    assert noise([2.0 * e for e in range(10)]) == pytest.approx(0.0)


def official(accuracy, w=()):
    return OfficialCurve("demo/demo", "0123456789", "logs/demo", None, {"test/acc": tuple(accuracy)}, tuple(w))


def curve_file(lab, run, values):
    """Make a run's metrics.csv have these test accuracies."""
    lines = [f"{epoch},{value}" for epoch, value in enumerate(values)]
    (lab.runs[run] / "metrics.csv").write_text("\n".join(["epoch,test/acc", *lines]) + "\n")


@pytest.fixture
def check(tables, monkeypatch):
    def run(curve, *words):
        monkeypatch.setattr("scripts.tables.curve_of", {ROW: curve}.get)
        code, out, err = tables("--check", ROW, "--curve", *words)
        return code, out + err

    return run


def test_check_compares_every_epoch_reached_and_takes_unfinished_runs(lab, check):
    names = ("seed0", "seed1", "resumed", "interrupted", "short")
    rng = random.Random(3)
    level = [60 + 10 * (1 - math.exp(-e / 8)) for e in range(40)]
    for name in names:
        curve_file(lab, name, [v + rng.gauss(0, 0.5) for v in level])
    for name in ("other_recipe", "subset", "seed0_again"):
        curve_file(lab, name, [1.0] * 30)
    noisy = official(v + rng.gauss(0, 0.5) for v in [*level, *[70.0] * 20])
    code, out = check(noisy)
    assert code == 0, out
    assert "n = 5 seeds" in out
    assert f"{ROW}: agrees; in epochs 31 to 40" in out
    assert "demo/demo at 0123456, logs/demo" in out
    assert all(str(lab.runs[name]) + "," in out for name in names)
    shifted = official(v + (4.0 if e >= 20 else 0.0) for e, v in enumerate(noisy.accuracy))
    code, out = check(shifted)
    assert code == 1
    assert f"{ROW}: below from epoch 20 on" in out


def test_check_has_nothing_to_compare(lab, check, tables):
    code, out = check(None)
    assert (code, "published no curve" in out) == (2, True)
    code, out = check(official([50.0] * 2))
    assert (code, "after 3 epochs" in out) == (2, True)
    code, _, err = tables("--curve")
    assert (code, "--curve: goes with --check ROW" in err) == (2, True)


def test_where_no_run_has_the_rows_precision_one_in_another_is_compared_and_says_so(lab, check):
    level = [60.0 + e % 2 for e in range(9)]
    for name in ("seed0", "seed1", "resumed", "interrupted", "short", "other_recipe"):
        curve_file(lab, name, level)
    lab.edit_row("epochs: 3", "epochs: 3\ntrainer: {precision: 16-mixed}\neval_precision: 32-true")
    code, out = check(official(level))
    assert code == 0, out
    assert "not the row's recipe: " in out
    assert "trainer.precision 32-true (row: 16-mixed)" in out
    assert f"{lab.runs['seed0']}, seed 0, 9 tests" in out
    each = [line.split() for line in out.splitlines() if line.split()[-1:] == ["+0.00"]]
    assert each == [[str(e + 1), f"{level[e]:.2f}", f"{level[e]:.2f}", "+0.00"] for e in range(9)]
    assert str(lab.runs["other_recipe"]) + "," not in out


def test_learned_w_is_compared_layer_by_layer_from_the_rates_of_layers_csv(lab, check):
    for name in ("seed1", "resumed", "interrupted", "short"):
        shutil.rmtree(lab.runs[name])
    curve_file(lab, "seed0", [60.0 + e % 2 for e in range(30)])
    w = {"a.neuron": [0.01 * e for e in range(30)], "b.neuron": [-1.0 - 0.1 * max(0, e - 15) for e in range(30)]}
    rows = [
        f"{e},{layer},rate,{1 / (1 + math.exp(-values[e]))}\n{e},{layer},firing_rate,0.1"
        for e in range(30)
        for layer, values in w.items()
    ]
    (lab.runs["seed0"] / "layers.csv").write_text("\n".join(["epoch,layer,quantity,value", *rows]) + "\n")
    accuracy = [60.0 + e % 2 for e in range(30)]
    code, out = check(official(accuracy, [w["a.neuron"], [-1.0 + 0.0 * e for e in range(30)]]))
    assert code == 0, out  # w has no say in it
    (first,) = [line.split() for line in out.splitlines() if line.strip().startswith("a ")]
    (second,) = [line.split() for line in out.splitlines() if line.strip().startswith("b ")]
    assert first[1:5] == ["24-30", "0.260", "0.260", first[4]]
    assert abs(float(first[4])) < 1e-3
    assert first[6:8] == [f"{1 + math.exp(-0.26):.2f}"] * 2
    assert first[-1] == "agrees"
    assert second[2:5] == ["-2.100", "-1.000", "-1.100"]
    assert " ".join(second[-5:]) == "below from epoch 16 on"
    code, out = check(official(accuracy, [w["a.neuron"]]))
    assert "2 layers, in the authors' log 1" in out


def test_a_check_without_a_finished_run_names_the_curve(lab, tables, monkeypatch):
    for name in ("seed0", "seed1", "resumed", "seed0_again"):
        shutil.rmtree(lab.runs[name])
    monkeypatch.setattr("snnbench.results.tables.check.curve_of", {ROW: official([50.0])}.get)
    code, out, _ = tables("--check", ROW)
    assert (code, "compared with the authors' curve: --curve" in out) == (2, True)
