"""Figures with the authors' curves: one's own runs of the row beside the numbers of its log, everything else named."""

import pytest

from scripts.figures import main
from snnbench.official import curve_of, orders
from snnbench.results.figures.draw import draw
from tests.results.made_up_runs import edit, of_row, run
from tests.results.test_figures import choose

LIF = "psn/seqcifar100_seqnet_t32_lif"
MASKED = "psn/seqcifar100_seqnet_t32_masked_psn"


def lines(figure):
    """By label, what is drawn as a line: x and y."""
    (axis,) = draw(figure).axes
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axis.get_lines()}


def test_curves_are_drawn_beside_the_authors_with_a_band_over_seeds(tmp_path):
    official = curve_of(LIF).accuracy
    for seed, shift in enumerate((1.0, 3.0)):
        of_row(tmp_path, LIF, [value + shift for value in official], seed)
    other = of_row(tmp_path, LIF, [1.0] * 256, 2, neuron={"tau": 3.0})
    short = of_row(tmp_path, LIF, [1.0] * 9, 3, epochs=9)
    empty = of_row(tmp_path, LIF, [1.0] * 256, 4)
    (empty / "metrics.csv").unlink()
    none = run(tmp_path, "lif", row={"id": "demo/none"})
    drawn = choose("curves", tmp_path)
    (figure,) = drawn.figures
    assert figure.title == "CIFAR-100, seqnet, LIF, T = 32, 256 epochs, n = 2 seeds"
    found = lines(figure)
    assert found["authors"] == (list(range(1, 257)), list(official))
    assert found["own"][1] == pytest.approx([value + 2 for value in official])
    assert draw(figure).axes[0].get_lines()[-1].get_linestyle() == "--"
    (band,) = draw(figure).axes[0].collections
    low = band.get_paths()[0].vertices[:, 1].min()
    assert low == pytest.approx(min(official) + 2 - 2**0.5)
    reasons = {run.folder: why for run, why in drawn.left_out}
    assert reasons.keys() == {other, short, empty, none}
    assert "neuron.tau 3 (row: 2)" in reasons[other]
    assert reasons[short] == "9 of the row's 256 epochs"


def test_orders_are_drawn_beside_every_order_of_the_authors(tmp_path):
    for seed, (k, best) in enumerate([(2, 50.0), (2, 54.0), (8, 60.0)]):
        of_row(tmp_path, MASKED, [10.0, best, best - 1], seed, neuron={"k": k})
    other = of_row(tmp_path, MASKED, [10.0, 20.0], 9, neuron={"k": 4, "lambda_rate": 1.0})
    drawn = choose("order", tmp_path)
    (figure,) = drawn.figures
    (own, *_) = figure.lines
    assert [(point.x, point.values) for point in own.points] == [(2, (49.0, 53.0)), (8, (59.0,))]
    assert figure.title.endswith("masked PSN, T = 32, 256 epochs, n = 1 to 2 seeds")
    official = orders(MASKED)
    found = lines(figure)
    assert found["authors, last epoch"] == (list(range(1, 33)), [official[k].accuracy[-1] for k in range(1, 33)])
    assert found["authors, best test epoch"][1][31] == 60.69
    ((left_out, why),) = drawn.left_out
    assert (left_out.folder, "lambda_rate 1 (row: 8)" in why) == (other, True)
    (figure,) = choose("order", tmp_path, "best_test_epoch").figures
    assert [point.values for point in figure.lines[0].points] == [(50.0, 54.0), (60.0,)]


def test_a_run_that_is_not_finished_is_drawn_as_far_as_it_got(tmp_path, capsys):
    official = curve_of(LIF).accuracy
    begun = of_row(tmp_path / "runs", LIF, list(official[:5]), status="interrupted")
    edit(begun, epochs={"planned": 256, "run": 5})
    words = [str(tmp_path / "runs"), "--kind", "curves", "--output", str(tmp_path / "figures")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "LIF, T = 32, up to epoch 5, 256 epochs, single seed; 1 run" in said
    assert "left out" not in said
    assert main([*words[:2], "firing", *words[3:]]) == 2
    assert "interrupted after 5 of 256 epochs" in capsys.readouterr().out
