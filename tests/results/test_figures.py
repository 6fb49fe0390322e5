"""Figures: what is drawn is what the runs measured, fair groups apart, everything left out named."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from snnbench.results import labels
from snnbench.results.figures.draw import draw, save
from snnbench.results.figures.kinds import KINDS
from snnbench.results.looks import COLOURS, MARKERS, OTHERS, look
from snnbench.results.selection import select
from snnbench.runs.read import read_ledger
from tests.results.made_up_runs import DECAYS, dalif, edit, run


def choose(kind: str, outputs: Path, protocol: str = "last_epoch"):
    return KINDS[kind].choose(select(read_ledger([outputs])).counted, protocol)


def plotted(axis) -> dict[str, tuple[list[float], list[float], list[float]]]:
    """By label, the means, and the lower and upper ends of their error bars, as they are on the axes."""
    found = {}
    for container in axis.containers:
        line, _, (bars,) = container.lines
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        found[container.get_label()] = (list(line.get_ydata()), list(ends[:, 0]), list(ends[:, 1]))
    return found


def test_coefficients_are_drawn_by_layer_with_their_spread_over_seeds(tmp_path):
    for seed, alpha in enumerate([(0.9, 0.5), (0.7, 0.5), (0.8, 0.8)]):
        run(tmp_path, seed=seed, layers=dalif(alpha))
    plain = run(tmp_path, neuron="lif")
    drawn = choose("coefficients", tmp_path)
    (figure,) = drawn.figures
    assert figure.title == "CIFAR-10, ResNet-20, DA-LIF, T = 2, 3 epochs, n = 3 seeds"
    assert [panel.label for panel in figure.panels] == ["spatial decay α", "temporal decay β"]  # noqa: RUF001
    assert [(run.folder, why) for run, why in drawn.left_out] == [(plain, "learned no coefficients")]
    first, second = draw(figure).axes
    means, low, high = plotted(first)["DA-LIF"]
    assert means == pytest.approx([0.8, 0.6])
    assert low == pytest.approx([0.8 - 0.1, 0.6 - math.sqrt(0.03)])  # (0.5, 0.5, 0.8): variance 0.06 / 2
    assert high == pytest.approx([0.8 + 0.1, 0.6 + math.sqrt(0.03)])
    assert plotted(second)["DA-LIF"][0] == pytest.approx([0.1, 0.2])
    assert [label.get_text() for label in second.get_xticklabels()] == ["stages.0.unit1", "stages.1.unit1"]


def test_coefficients_per_channel_have_a_band_of_their_spread_within_the_layer(tmp_path):
    for seed, (mean, std) in enumerate([(1.0, 0.2), (2.0, 0.4)]):
        run(tmp_path, "arlif", seed=seed, layers={"units.0.neuron": {"firing_rate": 0.1, "a.mean": mean, "a.std": std}})
    (figure,) = choose("coefficients", tmp_path).figures
    ((point,),) = [series.points for panel in figure.panels for series in panel.series]
    assert (point.x, point.values, point.band) == ("units.0", (1.0, 2.0), pytest.approx(0.3))
    canvas = draw(figure)
    (band,) = (c for c in canvas.axes[0].collections if c.get_alpha() == 0.15)
    assert band.get_datalim(canvas.axes[0].transData).ymin == pytest.approx(1.2)
    assert "band" in canvas._supxlabel.get_text()


def test_accuracy_over_T_by_neuron(tmp_path):
    values = {("lif", 2): [80.0, 82.0], ("lif", 4): [83.0], ("klif", 2): [81.0, 82.0, 83.0], ("klif", 4): [85.0]}
    for (neuron, T), found in values.items():
        for seed, acc in enumerate(found):
            run(tmp_path, neuron, T, seed, acc, options={"T": T}, norm={"v_th": 1.0})
    drawn = choose("accuracy", tmp_path)
    (figure,) = drawn.figures
    assert figure.title == "CIFAR-10, ResNet-20, 3 epochs, n = 1 to 3 seeds"
    axis = draw(figure).axes[0]
    assert axis.get_ylabel() == "test accuracy (%),\nlast epoch"
    assert list(axis.get_xticks()) == [2, 4]
    found = plotted(axis)
    assert found["LIF"][0] == [81.0, 83.0]
    assert found["LIF"][2] == pytest.approx([81 + math.sqrt(2), 83.0])  # of a single seed, no bar
    assert found["KLIF"][0] == [82.0, 85.0]
    (figure,) = choose("accuracy", tmp_path, "best_test_epoch").figures
    axis = draw(figure).axes[0]
    assert axis.get_ylabel() == "test accuracy (%),\nbest test epoch"
    assert plotted(axis)["LIF"][0] == [82.0, 84.0]
    drawn = choose("accuracy", tmp_path, "validation_chosen")
    assert drawn.figures == []
    assert len(drawn.left_out) == 7


def test_other_recipes_are_other_figures_and_their_titles_say_which(tmp_path):
    for T, lr in itertools.product((2, 4), (0.1, 0.05)):
        run(tmp_path, "lif", T, optimizer={"name": "sgd", "lr": lr})
        run(tmp_path, "klif", T, optimizer={"name": "sgd", "lr": lr}, norm={"name": "tdbn"})
    run(tmp_path, "plif", 2)
    drawn = choose("accuracy", tmp_path)
    assert len(drawn.figures) == len({figure.stem for figure in drawn.figures}) == 4
    assert {figure.title.partition("seed (")[2] for figure in drawn.figures} == {
        "norm.name absent, optimizer.lr 0.1)",
        "norm.name absent, optimizer.lr 0.05)",
        "norm.name tdbn, optimizer.lr 0.1)",
        "norm.name tdbn, optimizer.lr 0.05)",
    }
    assert {len(figure.runs) for figure in drawn.figures} == {2}
    ((left_out, why),) = drawn.left_out
    assert left_out.config["neuron"]["name"] == "plif"
    assert why == "only T = 2 has been run of its recipe"


def test_files_are_named_in_words_and_apart(tmp_path):
    run(tmp_path, "lif")
    run(tmp_path, "dalif")
    assert [figure.stem for figure in choose("firing", tmp_path).figures] == ["firing-cifar10-resnet20-T2"]
    run(tmp_path, "lif", optimizer={"name": "sgd", "lr": 0.05})
    run(tmp_path, "lif", optimizer={"name": "../x", "lr": 0.05})
    stems = sorted(figure.stem for figure in choose("firing", tmp_path).figures)
    assert stems == [
        "firing-cifar10-resnet20-T2-optimizer.lr_0.05_optimizer.name_.._x",
        "firing-cifar10-resnet20-T2-optimizer.lr_0.05_optimizer.name_sgd",
        "firing-cifar10-resnet20-T2-optimizer.lr_0.1_optimizer.name_sgd",
    ]


def test_every_neuron_of_the_project_has_a_colour_with_a_marker_of_its_own():
    found = [look(name) for name in labels.neurons()]
    assert len({(one.colour, one.marker) for one in found}) == len(labels.neurons()) < len(COLOURS) ** 2
    first = found[: len(COLOURS)]
    assert len({one.colour for one in first}) == len({one.marker for one in first}) == len(COLOURS) == len(MARKERS)
    assert {"lif", "plif", "klif", "glif", "clif", "psn", "dalif", "arlif"} <= set(list(labels.neurons())[: len(first)])
    assert look("mine") == look("mine")
    assert look("mine").colour in OTHERS


def test_the_threshold_that_tdbn_takes_from_the_neuron_is_no_other_recipe(tmp_path):
    for neuron, v_th in (("lif", 1.0), ("dalif", 0.5)):
        run(tmp_path, neuron, options={"v_th": v_th}, norm={"name": "tdbn", "v_th": v_th})
    run(tmp_path, "klif", options={"v_th": 1.0}, norm={"name": "tdbn", "v_th": 0.7})
    neurons = [[series.neuron for series in f.panels[0].series] for f in choose("firing", tmp_path).figures]
    assert neurons == [["lif", "dalif"], ["klif"]]


def test_variants_of_a_neuron_are_told_apart_or_too_many(tmp_path):
    for k in (1.0, 2.0):
        run(tmp_path, "klif", options={"k": k}, layers={"a.neuron": {"firing_rate": k / 10}})
    (figure,) = choose("firing", tmp_path).figures
    assert {s.label: s.points[0].values for s in figure.panels[0].series} == {
        "KLIF (k 1)": (0.1,),
        "KLIF (k 2)": (0.2,),
    }
    drawn_as = [container.lines[0] for container in draw(figure).axes[0].containers]
    assert {line.get_color() for line in drawn_as} == {look("klif").colour}
    assert [line.get_linestyle() for line in drawn_as] == ["-", "--"]
    run(tmp_path, "lif", layers={"a.neuron": {"firing_rate": 0.3}})
    for alpha in range(8):
        run(tmp_path, options={"alpha_init": alpha}, layers={"a.neuron": {"firing_rate": 0.3}})
    drawn = choose("firing", tmp_path)
    assert [series.neuron for series in drawn.figures[0].panels[0].series] == ["lif", "klif", "klif"]
    assert len(drawn.left_out) == 8
    assert "8 variants of dalif" in drawn.left_out[0][1]
    assert len(drawn.figures[0].runs) == 3


def test_the_grid_of_fixed_decays(tmp_path):
    for (alpha, beta), accs in {(0.2, 0.0): [50.0, 60.0], (0.2, 0.5): [70.0], (1.0, 0.0): [80.0, 90.0]}.items():
        for seed, acc in enumerate(accs):
            run(tmp_path, seed=seed, acc=acc, options=DECAYS | {"alpha_init": alpha, "beta_init": beta})
    learned = run(tmp_path, options={"learn_alpha": True})
    line = [run(tmp_path, T=4, options=DECAYS | {"alpha_init": a, "beta_init": 0.0}) for a in (0.2, 0.4)]
    drawn = choose("grid", tmp_path)
    (figure,) = drawn.figures
    assert figure.cells == {(0.2, 0.0): (50.0, 60.0), (0.2, 0.5): (70.0,), (1.0, 0.0): (80.0, 90.0)}
    assert figure.title.endswith("T = 2, 3 epochs, n = 1 to 2 seeds")
    assert {run.folder for run, _ in drawn.left_out} == {learned, *line}
    axis = draw(figure).axes[0]
    shown = axis.collections[0].get_array()
    assert np.ma.getmaskarray(shown).tolist() == [[False, False], [False, True]]
    assert np.ma.filled(shown, 0).tolist() == [[55.0, 70.0], [85.0, 0.0]]  # rows alpha, columns beta
    texts = {text.get_position(): text.get_text() for text in axis.texts}
    assert texts == {(0.5, 0.5): "55.0\n±7.1", (1.5, 0.5): "70.0", (0.5, 1.5): "85.0\n±7.1"}


def test_decays_of_a_grid_are_those_after_squashing(tmp_path):
    for alpha, beta in itertools.product((0.0, "ones"), (-1.0, 1.0)):
        run(tmp_path, options=DECAYS | {"squash": "tanh", "alpha_init": alpha, "beta_init": beta})
    (figure,) = choose("grid", tmp_path).figures
    assert figure.cells.keys() == set(itertools.product((0.0, math.tanh(1)), (-math.tanh(1), math.tanh(1))))


def test_a_seed_stands_once_in_a_cell_of_the_grid_however_its_decays_are_spelt(tmp_path):
    for alpha, beta in itertools.product((0.5, 1.0), (0.0, 0.5)):
        run(tmp_path, acc=60.0, options=DECAYS | {"alpha_init": alpha, "beta_init": beta})
    again = run(tmp_path, acc=80.0, options=DECAYS | {"alpha_init": "ones", "beta_init": 0.5})
    drawn = choose("grid", tmp_path)
    (figure,) = drawn.figures
    assert figure.cells[1.0, 0.5] == (60.0,)
    assert figure.title.endswith("single seed")
    ((left_out, why),) = drawn.left_out
    assert left_out.folder == again
    assert why.startswith("seed 0 again; counted is ")


@pytest.mark.parametrize(
    "decays", [{"squash": "cosine"}, {"squash": ["tanh"]}, {"alpha_init": "many"}, {"alpha_init": float("nan")}]
)
def test_decays_that_cannot_be_computed_are_in_no_grid(tmp_path, decays):
    run(tmp_path, options=DECAYS | {"alpha_init": 0.5, "beta_init": 0.5} | decays)
    drawn = choose("grid", tmp_path)
    assert (drawn.figures, [why for _, why in drawn.left_out]) == (
        [],
        ["its neuron has no fixed decays alpha and beta"],
    )


def test_runs_that_do_not_say_what_they_are_of_are_left_out(tmp_path):
    whole = run(tmp_path)
    run(tmp_path, seed=1, data={})
    run(tmp_path, seed=2, backbone=None)
    run(tmp_path, seed=3, T="two")
    run(tmp_path, neuron=4, seed=4)
    drawn = choose("firing", tmp_path)
    assert [run.folder for run in drawn.figures[0].runs] == [whole]
    assert {why for _, why in drawn.left_out} == {"its config.yaml lacks T or the name of its data, backbone or neuron"}
    assert len(drawn.left_out) == 4


def test_names_may_hold_any_character(tmp_path):
    odd = {"data": {"name": "my/data " + 300 * "x"}, "backbone": {"name": "../$net_{$"}}
    for neuron in ("_mine", "lif"):
        run(tmp_path, neuron, layers={"a$b$.neuron": {"firing_rate": 0.3}, "$\\frac$": {"firing_rate": 0.1}}, **odd)
    (figure,) = choose("firing", tmp_path).figures
    paths = save(figure, tmp_path)
    assert all(path.parent == tmp_path and path.exists() for path in paths)
    assert {text.get_text() for text in draw(figure).axes[0].get_legend().get_texts()} == {"LIF", "_mine"}


def test_labels_differ_also_where_the_first_differences_do_not_show_them(tmp_path):
    same = {"a": 0, "b": 0, "c": 0}
    for one, other in itertools.product((0, 1), (0, 1)):
        run(tmp_path, "klif", options=same | {"a": one, "b": one, "c": one, "z": other})
    (figure,) = choose("firing", tmp_path).figures
    labels = [series.label for series in figure.panels[0].series]
    assert sorted(labels) == [f"KLIF (a {n}, b {n}, c {n}, z {z})" for n in (0, 1) for z in (0, 1)]


def test_energy_has_the_unit_that_fits(tmp_path):
    for neuron, energy in (("lif", 2.0e6), ("klif", 5.0e5)):
        edit(run(tmp_path, neuron), energy={"model": "45nm", "picojoule": energy})
    edit(none := run(tmp_path, "plif"), energy={"model": "lemaire", "picojoule": 1.0})
    drawn = choose("energy", tmp_path)
    axis = draw(drawn.figures[0]).axes[0]
    assert axis.get_ylabel() == "energy of operations\nat 45 nm (µJ per sample)"
    assert {label: found[0] for label, found in plotted(axis).items()} == {"LIF": [2.0], "KLIF": [0.5]}
    assert [run.folder for run, _ in drawn.left_out] == [none]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("resnet20", "ResNet-20"),
        ("spiking_resnet152", "Spiking ResNet-152"),
        ("ms_resnet18_glif", "MS-ResNet-18 (glif)"),
        ("sew_7bwide_glif", "7B-wideNet (glif)"),
        ("sew_7b", "7B-Net"),
        ("mine_of_7b", "mine_of_7b"),
    ],
)
def test_networks_are_called_as_papers_call_them(name, label):
    assert labels.backbone(name) == label
