"""Comparisons: means over seeds by hand, only runs of one recipe side by side, everything else named."""

import json
import statistics

import pytest

from scripts.compare import main
from snnbench.results.selection import select
from snnbench.results.tables.comparison import compare, record, table
from snnbench.runs.read import read_ledger
from tests.results.made_up_runs import edit, run


@pytest.fixture
def outputs(tmp_path):
    for neuron, base in (("lif", 80.0), ("arlif", 82.0)):
        for T in (2, 4):
            for seed, extra in enumerate((0.0, 1.0, 5.0)):
                folder = run(tmp_path, neuron=neuron, T=T, seed=seed, acc=base + T + extra)
                edit(folder, firing_rate=0.1 * T, energy={"model": "45nm", "picojoule": 1000.0 * (seed + 1)})
    return tmp_path


def comparisons(outputs, protocol="last_epoch"):
    return compare(select(read_ledger([outputs])).counted, protocol)[0]


def cell(comparison, label, T):
    (found,) = [runs for variant, steps, runs in comparison.cells if (variant.label, steps) == (label, T)]
    return comparison.accuracy(found)


def labels(comparison):
    return [variant.label for variant in comparison.variants]


def test_mean_and_spread_over_the_seeds(outputs):
    (found,) = comparisons(outputs)
    assert found.title == "CIFAR-10, ResNet-20, 3 epochs, last epoch, n = 3 seeds"
    spread = cell(found, "LIF", 4)
    assert (spread.mean, spread.n) == (pytest.approx(86.0), 3)
    assert spread.std == pytest.approx(7**0.5)  # of 84, 85, 89: (4 + 1 + 9) / 2
    shown = table(found)
    assert shown.columns[:3] == ("neuron", "accuracy %, T=2", "accuracy %, T=4")
    assert shown.lines == [
        ["LIF", "84.00 ± 2.65", "86.00 ± 2.65", "0.200", "0.400", "2", "2"],
        ["AR-LIF", "86.00 ± 2.65", "88.00 ± 2.65", "0.200", "0.400", "2", "2"],
    ]


def test_the_best_is_bold_in_print_and_energy_counts_by_the_least(outputs, capsys):
    for seed in range(3):
        edit(run(outputs, neuron="klif", T=2, seed=seed, acc=82.0), energy={"model": "45nm", "picojoule": 500.0})
    (found,) = comparisons(outputs)
    shown = table(found)
    best = {(shown.columns[place], shown.lines[line][0]) for line, place in shown.best}
    assert best == {
        ("accuracy %, T=2", "AR-LIF"),
        ("accuracy %, T=4", "AR-LIF"),
        ("energy nJ, T=2", "KLIF"),
    }  # and no firing rate: those that have one have the same
    assert main([str(outputs), "--format", "latex"]) == 0
    assert r"\textbf{86.00 $\pm$ 2.65}" in capsys.readouterr().out


def test_the_protocol_is_the_one_asked_for(outputs):
    (found,) = comparisons(outputs, "best_test_epoch")
    assert cell(found, "LIF", 2).mean == pytest.approx(85.0)
    assert "best test epoch" in found.title


def test_another_recipe_stands_apart_and_alone_it_is_named(outputs, capsys):
    alone = run(outputs, neuron="klif", T=2, optimizer={"name": "sgd", "lr": 0.01})
    (found,) = comparisons(outputs)
    assert labels(found) == ["LIF", "AR-LIF"]
    assert main([str(outputs)]) == 0
    assert f"{alone}: left out: no other neuron was trained under its recipe" in capsys.readouterr().out
    run(outputs, neuron="lif", T=2, optimizer={"name": "sgd", "lr": 0.01})
    first, second = comparisons(outputs)
    assert (labels(first), labels(second)) == (["LIF", "AR-LIF"], ["LIF", "KLIF"])
    assert "single seed" in second.title


def test_equal_titles_say_in_what_their_recipes_differ(outputs):
    for neuron in ("lif", "arlif"):
        for seed in range(3):
            run(outputs, neuron=neuron, T=2, seed=seed, optimizer={"name": "sgd", "lr": 0.01})
    first, second = (one.title for one in comparisons(outputs))
    assert first.endswith("n = 3 seeds, optimizer.lr 0.1")
    assert second.endswith("n = 3 seeds, optimizer.lr 0.01")


def test_variants_of_a_neuron_are_told_apart(outputs):
    run(outputs, neuron="lif", T=2, seed=7, options={"v_th": 0.5})
    (found,) = comparisons(outputs)
    assert sorted(labels(found)) == ["AR-LIF", "LIF (v_th 0.5)", "LIF (v_th absent)"]
    assert "n as stated" in found.title
    accuracy = {line[0]: line[1:3] for line in table(found).lines}
    assert accuracy["LIF (v_th 0.5)"] == ["90.00 (single seed)", "-"]
    assert accuracy["AR-LIF"] == ["86.00 ± 2.65 (n=3)", "88.00 ± 2.65 (n=3)"]


def test_constants_that_differ_are_said_and_absent_ones_are_not(tmp_path):
    for neuron, options in (
        ("lif", {"v_th": 1.0, "v_reset": None}),
        ("klif", {"v_th": 0.5, "v_reset": None}),
        ("glif", {}),
    ):
        run(tmp_path, neuron=neuron, options=options)
    (found,) = comparisons(tmp_path)
    assert table(found).notes == ["v_th: LIF 1, KLIF 0.5"]


def test_many_variants_of_one_neuron_lose_no_run(tmp_path):
    run(tmp_path, neuron="klif")
    for d in range(2):
        run(tmp_path, neuron="lif", options={"a": d, "b": d, "c": d, "d": 0})
        run(tmp_path, neuron="lif", options={"a": d, "b": d, "c": d, "d": 1}, acc=10.0)
    (found,) = comparisons(tmp_path)
    assert len(set(labels(found))) == len(labels(found)) == 5
    assert sum(len(runs) for _, _, runs in found.cells) == 5


def test_a_seed_counts_once_though_its_config_is_spelt_otherwise(outputs):
    again = run(outputs, neuron="lif", T=2, seed=0, acc=10.0, options={"T": 2})  # follows T: no other neuron
    selection = select(read_ledger([outputs]))
    found, left_out = compare(selection.counted)
    assert cell(found[0], "LIF", 2).n == 3
    ((one, why),) = [*selection.left_out, *left_out]
    assert (one.folder, why.partition(";")[0]) == (again, "seed 0 again")


def test_a_run_without_this_accuracy_is_named(outputs):
    folder = run(outputs, neuron="lif", T=2, seed=5)
    edit(folder, accuracy={"last_epoch": 50.0, "best_test_epoch": None, "validation_chosen": None})
    found, left_out = compare(select(read_ledger([outputs])).counted, "best_test_epoch")
    assert cell(found[0], "LIF", 2).n == 3
    assert [(r.folder, why) for r, why in left_out] == [(folder, "no accuracy best test epoch")]


def test_a_missing_measurement_is_a_dash_and_not_part_of_a_mean(outputs):
    (first,) = [
        r.folder
        for r in read_ledger([outputs]).runs
        if (r.config["neuron"]["name"], r.config["T"], r.seed) == ("lif", 2, 0)
    ]
    edit(first, firing_rate="high", energy={"model": "lemaire", "picojoule": 5.0})
    (found,) = comparisons(outputs)
    assert table(found).lines[0][3:] == ["-", "0.400", "-", "2"]


def test_the_script_writes_every_runs_values(outputs, capsys):
    broken = run(outputs, neuron="lif", T=2, seed=9, status="failed")
    file = outputs / "comparison.json"
    assert main([str(outputs), "--format", "md", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    assert "| LIF | 84.00 ± 2.65 |" in out
    assert f"{broken}: left out: failed" in out
    written = json.loads(file.read_text())
    cells = written["comparisons"][0]["cells"]
    assert [(cell["neuron"], cell["T"]) for cell in cells] == [("LIF", 2), ("LIF", 4), ("AR-LIF", 2), ("AR-LIF", 4)]
    for cell in cells:
        assert cell["mean"] == pytest.approx(statistics.fmean(r["accuracy"]["last_epoch"] for r in cell["runs"]))
        assert [r["seed"] for r in cell["runs"]] == [0, 1, 2]
    assert written == json.loads(json.dumps(record(comparisons(outputs))))


def test_nothing_to_compare(tmp_path, capsys):
    run(tmp_path, neuron="lif")
    assert main([str(tmp_path)]) == 2
    assert "no two neurons were trained under one recipe" in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err
