"""The dashboard's first page and what it says of a run's end and classes, at three widths, in light and dark."""

import csv
import shlex
import statistics

import pytest

from snnbench.results.looks import look
from snnbench.runs.confusion import write_confusion
from tests.results.browser import browser, built, drawn, look_at, opened, panel, select, traces  # noqa: F401
from tests.results.made_up_runs import edit, run

ACCURACY = {
    ("lif", 2): [70.0, 72.0, 74.0],
    ("lif", 4): [81.0, 82.0, 83.0],
    ("dalif", 2): [75.0, 76.0, 77.0],
    ("dalif", 4): [79.0, 80.0, 81.0],
}
ENERGY = {("lif", 2): 1000.0, ("lif", 4): 2000.0, ("dalif", 2): 1500.0, ("dalif", 4): 4000.0}  # picojoules
CURVE = [10.0, 60.0, 70.0]
CONFUSION = [[8, 2, 0], [0, 5, 5], [1, 0, 9]]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "outputs"
    for (neuron, T), values in ACCURACY.items():
        for seed, acc in enumerate(values):
            one = run(folder / f"{neuron}_T{T}_{seed}", neuron, T, seed, acc)
            edit(one, energy={"model": "45nm", "picojoule": ENERGY[neuron, T], "layers": {}}, provenance="real")
            curve(one, [*CURVE[:-1], acc])
            write_confusion(one, CONFUSION)
    last = run(folder / "killed", "lif", 8, status="running")
    edit(last, status="running", epochs=None)
    for seed, step in ((0, 5), (1, 7)):
        failed = run(folder / f"failed{seed}", "plif", 2, seed, status="failed")
        edit(failed, cause="program", error=f"the loss is nan in step {step}", epochs={"planned": 3, "run": 0})
        command(failed, "python train.py -m neuron=plif seed=0,1")
    full = run(folder / "it is full", "plif", 4, status="failed")
    edit(full, cause="machine", error="No space left on device")
    return folder


def curve(folder, values):
    with (folder / "metrics.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["epoch", "test/acc"], *enumerate(values)])
    (folder / "layers.csv").write_text("epoch,layer,quantity,value\n")


def command(folder, text):
    edit(folder, environment={"command": text, "time": "2026-01-01T00:00:00"})
    (folder / "environment.jsonl").unlink()


@pytest.fixture(scope="module")
def path(outputs, tmp_path_factory):
    from snnbench.config import CONFIGS

    return built(outputs, tmp_path_factory.mktemp("page") / "page.html", CONFIGS)


@pytest.fixture(scope="module")
def opened_once(browser, path):  # noqa: F811
    with opened(browser, path, view="answer") as page:
        yield page


@pytest.fixture
def page(opened_once):
    look_at(opened_once, "answer")
    return opened_once


def test_neurons_stand_beside_each_other_with_the_best_in_bold(page):
    heads = page.locator("#matrix thead tr").last.locator("th").all_inner_texts()
    assert heads == ["neuron", "T=2", "T=4"]
    assert "CIFAR-10, ResNet-20" in page.inner_text("#matrix thead")
    rows = {row.locator("th").inner_text(): row.locator("td").all() for row in page.locator("#matrix tbody tr").all()}
    assert list(rows) == ["LIF", "DA-LIF"]
    found = {
        name: [(" ".join(cell.inner_text().split()), "best" in (cell.get_attribute("class") or "")) for cell in cells]
        for name, cells in rows.items()
    }
    assert found == {
        "LIF": [("72.00 ± 2.00", False), ("82.00 ± 1.00", True)],
        "DA-LIF": [("76.00 ± 1.00", True), ("80.00 ± 1.00", False)],
    }
    assert "n = 3" in page.inner_text("#view-answer")
    page.select_option("[name=Show]", "energy")
    best = page.locator("#matrix td.best")
    assert [cell.inner_text().split()[0] for cell in best.all()] == ["1", "2"]  # nJ: less is better
    page.select_option("[name=Show]", "last_epoch")


def test_accuracy_over_T_and_against_energy_have_the_colours_of_figures(page):
    over = {trace["name"]: trace for trace in traces(page, "over-timesteps")}
    assert over["LIF"]["y"] == [72, 82]
    assert over["LIF"]["error_y"]["array"] == [2, 1]
    for name, neuron in (("LIF", "lif"), ("DA-LIF", "dalif")):
        assert over[name]["line"]["color"].upper() == look(neuron).colour.upper()
        assert over[name]["marker"]["symbol"] == look(neuron).symbol
    found = {trace["name"]: trace for trace in traces(page, "frontier")}
    assert (found["DA-LIF"]["x"], found["DA-LIF"]["y"]) == ([1.5, 4], [76, 80])
    best = found["best for its cost"]
    assert (best["x"], best["y"]) == ([1, 1.5, 2], [72, 76, 82])  # DA-LIF at T=4 costs more than LIF and has less


def test_runs_of_one_recipe_are_one_line_with_a_band_on_an_axis_that_fits_their_end(outputs, browser, path):  # noqa: F811
    with opened(browser, path) as page:
        found = traces(page, "curves")
        named = {trace["name"]: trace for trace in found if trace.get("customdata")}
        assert set(named) == {f"{name}, T={T}, n = 3" for name in ("LIF", "DA-LIF") for T in (2, 4)}
        line = named["LIF, T=2, n = 3"]
        assert (line["x"], line["y"]) == ([1, 2, 3], [10, 60, 72])
        assert line["customdata"] == [0, 0, pytest.approx(statistics.stdev(ACCURACY["lif", 2]))]
        assert sum(trace.get("fill") == "toself" for trace in found) == 4
        low, high = page.evaluate("document.getElementById('curves').layout.yaxis.range")
        assert 50 < low < 60
        assert 82 < high < 90
        page.uncheck("[name='fit the last half']")
        drawn(page)
        assert page.evaluate("document.getElementById('curves')._fullLayout.yaxis.range[0]") < 10
        page.select_option("[name=Lines]", "each run")
        drawn(page)
        names = {trace["name"] for trace in traces(page, "curves")}
        assert "DA-LIF, T=4, seed 2" in names
        assert len(names) == 12


def test_what_ended_early_is_counted_with_its_cause_and_the_command_to_go_on(outputs, page):
    look_at(page, "problems")
    assert "Ended early: 4 of 16 runs" in page.inner_text("#ended h2")
    causes = page.locator("#ended details").all()
    assert [cause.locator("summary strong").inner_text() for cause in causes] == ["2", "1", "1"]
    assert "the loss is nan in step 5" in causes[0].inner_text()
    assert causes[0].locator("code").all_inner_texts() == ["python train.py -m neuron=plif seed=0,1 retry=failed"]
    found = {}
    for cause in causes[1:]:
        cause.locator("summary").click()
        cause.locator("code").wait_for()
        found[cause.locator(".chip").inner_text()] = cause.locator("code").inner_text()
    killed, failed = found["⊘ killed"], found["✕ failed"]
    assert "train.py" in killed
    assert shlex.split(killed)[-1].startswith("resume=")
    assert "it is full" in shlex.split(failed)[-1]  # quoted for a shell


def test_classes_of_a_run(page, outputs):
    look_at(page, "runs")
    select(page, outputs / "lif_T2_0")
    panel(page, "confusion")
    (found,) = traces(page, "confusion")
    assert found["z"] == [[80, 20, None], [None, 50, 50], [10, None, 90]]
    (found,) = traces(page, "per-class")
    assert found["y"] == [80, 50, 90]
    assert "30 test samples" in page.inner_text("#panel")
    first = page.locator("#confused tbody tr").first.locator("td").all_inner_texts()
    assert first == ["1", "2", "5", "50.0"]
    select(page, outputs / "killed")
    assert "None of the selected runs has recorded" in page.inner_text("#panel")
    panel(page, "curves")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 900, 1600])
def test_every_view_fits_its_window_in_light_and_dark(browser, path, width, scheme):  # noqa: F811
    with opened(browser, path, view="answer", width=width, scheme=scheme) as page:
        colour = page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor")
        assert (sum(map(int, colour[4:-1].split(","))) < 384) == (scheme == "dark")
        assert (page.evaluate("document.getElementById('frontier')._fullLayout.paper_bgcolor") == "#ffffff") == (
            scheme == "light"
        )
        for view in ("answer", "problems", "runs"):
            look_at(page, view)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, view
        for name in ("timesteps", "activity", "coefficients", "confusion", "compare") if scheme == "light" else ():
            panel(page, name)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        inside = page.evaluate(
            "[...document.querySelectorAll('#bar button, #theme, #views button')].every(one => {"
            " const box = one.getBoundingClientRect(); return box.height >= 24 && box.height < 60 })"
        )
        assert inside, "a button is squeezed"


def test_the_theme_is_switched_and_charts_follow(browser, path):  # noqa: F811
    with opened(browser, path, view="answer") as page:
        lines = {trace["name"]: trace["line"]["color"] for trace in traces(page, "over-timesteps")}
        assert lines["LIF"] == "#000000"
        page.click("#theme")
        page.wait_for_selector("html.dark #view-answer[aria-busy=false]")
        dark = {trace["name"]: trace["line"]["color"] for trace in traces(page, "over-timesteps")}
        ink = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()")
        assert dark["LIF"] == ink
        page.click("#theme")
        page.wait_for_selector("html:not(.dark) #view-answer[aria-busy=false]")
        assert {trace["name"]: trace["line"]["color"] for trace in traces(page, "over-timesteps")} == lines


def test_code_of_ones_own_is_named_and_no_hash_is_shown(browser, tmp_path):  # noqa: F811
    from snnbench.config import CONFIGS

    for seed, digest in enumerate(("0123456789ab", "fedcba987654")):
        one = run(tmp_path / "outputs", "mine", seed=seed, options={"_target_": "mine.Mine"})
        edit(one, code={"mine.Mine": digest})
        curve(one, CURVE)
    with opened(browser, built(tmp_path / "outputs", tmp_path / "page.html", CONFIGS), view="answer") as page:
        rows = [row.inner_text() for row in page.locator("#matrix tbody th").all()]
        assert rows == ["mine, Mine (code A)", "mine, Mine (code B)"]
        look_at(page, "runs")
        assert {trace["name"] for trace in traces(page, "curves")} == {
            "mine, T=2, Mine (code A), n = 1",
            "mine, T=2, Mine (code B), n = 1",
        }
        panel(page, "compare")
        assert "0123456789ab" not in page.inner_text("body")
