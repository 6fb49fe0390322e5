"""A quantity is added by one entry in the table and one function that measures it; everything else follows."""

import csv
import json
import re

import pytest

from scripts import compare, dashboard
from snnbench.runs import quantities
from snnbench.runs.quantity import Format, Quantity, Unit
from snnbench.training import measure
from tests.conftest import TINY
from tests.results.browser import browser, opened  # noqa: F401
from tests.results.test_dashboard import script
from tests.training.test_wandb import items, offline, records, written  # noqa: F401

STRAIN = Quantity(
    key="strain",
    path="strain.peak",
    label="strain of the weights",
    short="strain",
    units=(Unit("N"), Unit("kN", 1e3)),
    format=Format("fixed", 1),
    better="lower",
    shown=("report", "sweep", "comparison", "runs", "differences", "axes", "wandb"),
)


@pytest.fixture
def strain(monkeypatch):
    """Of the first neuron 1,500 N, 500 N more with each further one that is trained."""
    values = iter(range(1500, 9000, 500))
    monkeypatch.setitem(quantities.QUANTITIES, "strain", STRAIN)
    monkeypatch.setattr(measure, "MEASURES", dict(measure.MEASURES))

    @measure.measures("strain")
    def peak(module, history):
        return {"peak": float(next(values)), "layers": len(module.firing.layers), "epochs": len(history.metrics)}


def test_it_is_recorded_and_shown_wherever_runs_are_shown(strain, offline, command, tmp_path, capfd):  # noqa: F811
    options = [option for option in TINY if option != "logger=none"]
    done = command("train", "-m", *options, "logger=wandb", "threads=1", "neuron=lif,dalif")
    assert done.code == 0, done.err
    written()
    by_neuron = {json.loads((f / "result.json").read_text())["neuron"]: f for f in done.folders}
    recorded = [json.loads((by_neuron[name] / "result.json").read_text())["strain"] for name in ("lif", "dalif")]
    assert recorded == [{"peak": 1500.0, "layers": 3, "epochs": 2}, {"peak": 2000.0, "layers": 3, "epochs": 2}]
    assert re.search(r"strain of the weights +│ 1\.5 kN", done.out)
    heads, *lines = (line for line in done.out[done.out.rindex("sweep: ") :].splitlines() if line[:1] in "┃│")
    assert "strain N" in heads
    assert ("1,500.0" in lines[0], "2,000.0" in lines[1]) == (True, True)

    assert compare.main([str(done.outputs), "--any-data", "--format", "csv", "--json", str(tmp_path / "all.json")]) == 0
    head, *lines = csv.reader(line for line in capfd.readouterr().out.splitlines() if not line.startswith("#"))
    assert [line[head.index("strain kN, T=2")] for line in lines] == ["1.5", "2.0"]
    values = json.loads((tmp_path / "all.json").read_text())
    assert values["units"]["strain"] == "N"
    assert [c["runs"][0]["values"]["strain"] for c in values["comparisons"][0]["cells"]] == [1500.0, 2000.0]

    page = tmp_path / "page.html"
    assert dashboard.main([str(done.outputs), "--output", str(page)]) == 0
    data = script(page.read_text(), "data")
    assert sorted(run["values"]["strain"] for run in data["runs"]) == [1500.0, 2000.0]
    (entry,) = (quantity for quantity in data["quantities"] if quantity["key"] == "strain")
    assert entry["units"] == [[1.0, "N"], [1e3, "kN"]]

    (log,) = by_neuron["dalif"].glob("wandb/offline-run-*/*.wandb")
    summary = {}
    for record in records(log):
        summary |= items(record.summary.update)
    assert summary["strain/peak"] == 2000.0


def test_it_has_its_column_its_axis_and_its_line_on_the_page(strain, browser, lab, tmp_path):  # noqa: F811
    lab.edit_result("seed0", strain={"peak": 1500.0})
    lab.edit_result("seed1", strain={"peak": 700.0})
    page = tmp_path / "page.html"
    assert dashboard.main([str(lab.outputs), "--output", str(page), "--configs", str(lab.configs)]) == 0
    with opened(browser, page) as shown:
        heads = [" ".join(text.split()) for text in shown.locator(".dt-scroll-head thead th").all_inner_texts()]
        cells = [row.locator("td").nth(heads.index("strain, kN")).inner_text() for row in rows(shown)]
        assert sorted(cells) == ["0.7", "1.5", *["–"] * (len(lab.runs) - 2)]  # noqa: RUF001
        shown.click("#tab-timesteps")
        shown.select_option("[name=Quantity]", "strain")
        shown.wait_for_selector("#panel[aria-busy=false]")
        (line,) = json.loads(shown.evaluate("JSON.stringify(document.getElementById('timesteps').data)"))
        assert line["y"] == [pytest.approx(1.1)]
        assert shown.locator("#timesteps .ytitle").text_content() == "strain of the weights, kN"
        shown.click("#select-none")
        for name in ("seed0", "seed1"):
            shown.locator("#runs tbody tr", has_text=str(lab.runs[name])).locator("td").nth(1).click()
        shown.click("#tab-compare")
        shown.wait_for_selector("#panel[aria-busy=false]")
        found = shown.locator("#compare tr").filter(has=shown.locator("th:text-is('strain of the weights, kN')"))
        values = [(cell.inner_text(), cell.get_attribute("class")) for cell in found.locator("td").all()]
        assert values == [("1.5", None), ("0.7", "differs best")]


def rows(page):
    return page.locator("#runs tbody tr").all()
