"""What is said: sentences to be quoted, tables that fit, a card, a record, figures."""

import json
import re

import pytest

from snnbench.bench import figures
from snnbench.bench.cost import Cost
from snnbench.bench.pairing import Shared
from snnbench.bench.report import Report
from snnbench.results import looks
from tests.bench.made_up import campaign, suite
from tests.bench.test_campaign import accuracy


@pytest.fixture(scope="module")
def report():
    gains = {"plif": 3.0, "lif": 0.0, "clif": 3.0, "klif": 6.0}
    found, _, _ = campaign(accuracy(gains), "plif", "lif,clif,klif", suite("digits", "fashion_mnist"))
    pairs = [(part.data, one) for part in found.suite.parts for one in found.contestants]
    costs = {pair: Cost(2e-4 + place * 1e-5, 5e4) for place, pair in enumerate(pairs)}
    shared = {pair: Shared(("convs.0.weight", "fc.weight"), ()) for pair in pairs}
    return Report(found, costs, shared, "snnbench bench plif --against lif,clif,klif", ["without mnist: no files"])


def test_sentences_can_be_quoted(report):
    better, same, worse = report.sentences[:3]
    number, interval = r"[+-]\d+\.\d\d", r"\[[+-]\d+\.\d\d, [+-]\d+\.\d\d\]"
    assert re.fullmatch(rf"PLIF is better than LIF on digits, {number} points {interval}, 95 %, 4 paired seeds", better)
    assert re.fullmatch(
        rf"no difference between PLIF and CLIF was found on digits; any is smaller than \d\.\d\d points {interval}, "
        r"95 %, \d paired seeds",
        same,
    )
    assert worse.startswith("PLIF is worse than KLIF on digits, -")
    assert any("over all data sets" in line for line in report.sentences)


def test_what_is_not_answered_is_undecided():
    found, _, _ = campaign(accuracy({"plif": 0.3, "lif": 0.0}, sd=2.0), "plif", "lif", suite("digits"))
    (line,) = Report(found, {}, {}, "").sentences
    assert "PLIF against LIF on digits: undecided after 8 seeds, " in line


def test_a_quoted_sentence_says_what_of_the_data_was_left_out_and_for_how_many_its_certainty_holds():
    found, _, _ = campaign(accuracy({"plif": 3.0, "lif": 0.0}), "plif", "lif", suite("digits", "mnist"), together=True)
    for run in found.runs["digits", found.neuron].values():
        run.result.update(provenance="subset", doubt="data.limit=200")
    first, second, _ = Report(found, {}, {}, "").sentences
    assert " on digits (data.limit=200), " in first
    assert " on MNIST, " in second
    assert first.endswith("95 % for all 3 verdicts at once, 4 paired seeds")


def test_a_terminal_of_eighty_columns_is_enough(report, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = report.text.splitlines()
    assert max(map(len, lines)) <= 80
    assert "undecided" not in report.text
    text = " ".join(report.text.split())
    for sentence in report.sentences:
        assert sentence in text
    for word in (
        "no difference",
        "better",
        "worse",
        "PLIF",
        "KLIF",
        "T=2",
        "T=4",
        "energy",
        "step",
        "> 99 %",
        "verdict",
    ):
        assert word in text, word


def test_notes_say_what_holds_and_what_is_unequal(report):
    notes = "\n".join(report.all_notes)
    assert "9 questions were asked" in notes
    assert "paired by seed: the same first weights (at least 2 tensors" in notes
    assert "v_th differs: PLIF 1.0, LIF 1.0, CLIF 1.0, KLIF 0.5" in notes
    assert notes.endswith("without mnist: no files")


def test_weights_that_are_not_shared_are_told(report):
    apart = {key: Shared((), ("convs.0.weight",)) for key in report.shared}
    text = "\n".join(Report(report.campaign, {}, apart, "").all_notes)
    assert "not paired in full: first weights differ in convs.0.weight" in text


def test_card_record_and_figures_are_written(report, tmp_path):
    paths = report.write(tmp_path / "new" / "folder")
    assert {path.name for path in paths} == {
        "card.md", "bench.json", "forest.png", "forest.pdf", "pareto.png", "pareto.pdf",
    }  # fmt: skip
    assert all(path.stat().st_size > 100 for path in paths)
    card = paths[0].read_text()
    assert card.startswith("# PLIF against LIF, CLIF, KLIF\n")
    for text in (*report.sentences, "![forest](forest.png)", "    snnbench bench plif", "| T=4 |"):
        assert text in card
    record = json.loads(paths[1].read_text())
    assert [one["sentence"] for one in record["verdicts"]] == report.sentences
    first = record["verdicts"][0]
    assert first["low"] < first["mean"] < first["high"]
    assert len(first["differences"]) == first["n"]
    cell = next(cell for cell in record["runs"] if (cell["data"], cell["neuron"], cell["T"]) == ("digits", "LIF", 4))
    assert len(cell["last_epoch"]) == len(cell["seeds"]) == 4
    assert cell["energy"] == [4000.0] * 4
    assert cell["words"] == ["neuron=lif"]
    assert cell["step"]["kept"] == 5e4


def test_colours_are_the_neurons_own(report):
    from matplotlib.colors import to_hex

    axes = figures.pareto(report.campaign).axes
    assert len(axes) == 2
    drawn = {line.get_label(): (to_hex(line.get_color()).upper(), line.get_marker()) for line in axes[0].lines}
    for name, label in (("plif", "PLIF"), ("lif", "LIF"), ("klif", "KLIF")):
        assert drawn[label] == (looks.look(name).colour.upper(), looks.look(name).marker)
    (axis,) = figures.forest(report.campaign).axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names[0] == "LIF, digits (n=4)"
    assert len(names) == len(report.campaign.matches)
