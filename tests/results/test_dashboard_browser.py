"""The dashboard in headless Chromium, as a person uses it: sort, filter, select, compare; nothing leaves the page."""

import json
import shutil
import statistics
from importlib import import_module

import pytest

from snnbench.official import OfficialCurve
from tests.conftest import read_csv
from tests.lab import ROW, RUNS
from tests.results.browser import (  # noqa: F401
    browser,
    built,
    click_head,
    column,
    compared,
    drawn,
    eventually,
    look_at,
    opened,
    panel,
    select,
    select_shown,
    traces,
)
from tests.results.test_dashboard import HOSTILE


@pytest.fixture
def show(browser, lab):  # noqa: F811
    """`with show() as page`: the dashboard of the lab's outputs, opened from its file."""

    def build(folder=None, **options):
        page = built(folder or lab.outputs, lab.outputs.parent / "page.html", lab.configs)
        return opened(browser, page, **options)

    return build


@pytest.fixture
def whole(_runs):
    """The runs as they are, not to be changed."""
    return _runs


@pytest.fixture(scope="module")
def opened_once(browser, _runs, tmp_path_factory):  # noqa: F811
    with opened(browser, built(_runs.outputs, tmp_path_factory.mktemp("page") / "page.html", _runs.configs)) as page:
        yield page


@pytest.fixture
def page(opened_once):
    """The dashboard of all runs as they are, with no filter and no selection."""
    opened_once.click("#tab-runs")
    opened_once.click("text=Clear filters")
    opened_once.click("#select-none")
    panel(opened_once, "curves")
    return opened_once


def test_every_run_stands_in_the_table_and_sorting_sorts(whole, page):
    assert page.locator("#runs tbody tr").count() == len(RUNS)
    statuses = column(page, "status")
    assert sum("finished" in status for status in statuses) == len(RUNS) - 2
    assert any("failed" in status and "the machine is on fire" in status for status in statuses)
    expected = sorted(whole.result(name)["accuracy"]["last_epoch"] for name in RUNS)
    click_head(page, "last epoch")
    shown = [f"{value:.2f}" for value in expected]
    eventually(page, lambda: column(page, "last epoch") == shown)
    click_head(page, "last epoch")
    eventually(page, lambda: column(page, "last epoch") == shown[::-1])
    assert sum("subset" in text for text in column(page, "data")) == 1


def test_search_and_column_filters_narrow_the_table(whole, page):
    page.fill(".dt-search input", "on fire")
    assert len(column(page, "status")) == 1
    page.fill(".dt-search input", "no such run")
    assert "No run matches" in page.inner_text("#runs tbody")
    page.fill(".dt-search input", "")
    head = page.locator(".dt-scroll-head thead th", has_text="status").first
    head.locator(".dtcc-button_dropdown").click()
    page.locator(".dtcc-dropdown .dtcc-list-buttons button", has_text="interrupted").click()
    page.keyboard.press("Escape")
    assert len(column(page, "status")) == 1
    assert "interrupted" in column(page, "status")[0]
    page.click("text=Clear filters")
    assert len(column(page, "status")) == len(RUNS)


def test_the_table_is_saved_as_csv_as_it_is_filtered(whole, page):
    page.fill(".dt-search input", "on fire")
    with page.expect_download() as download:
        page.click("text=CSV")
    (line,) = read_csv(download.value.path())
    assert line["status"] == "failed"
    assert line["folder"] == str(whole.runs["failed"])
    assert float(line["test acc., % last epoch"]) == pytest.approx(
        whole.result("failed")["accuracy"]["last_epoch"], abs=1e-3
    )


def test_selected_runs_curves_are_drawn_over_each_other(whole, page):
    select(page, whole.runs["seed1"], whole.runs["interrupted"])
    page.select_option("[name=Metric]", "test/acc")
    page.select_option("[name=Lines]", "each run")
    drawn(page)
    drawn_now = [trace for trace in traces(page, "curves") if "seed" in trace["name"]]
    assert [trace["x"] for trace in drawn_now] == [[1, 2, 3], [1, 2]]
    last = whole.result("seed1")["accuracy"]["last_epoch"]
    assert drawn_now[0]["y"][-1] == pytest.approx(last, abs=1e-2)
    names = {trace["name"]: trace for trace in traces(page, "curves")}
    assert names[f"{ROW}: reported"]["y"] == [90, 90]
    select(page, whole.runs["interrupted"], whole.runs["other_recipe"])
    assert f"{ROW}: reported" not in {trace["name"] for trace in traces(page, "curves")}
    select(page, whole.runs["seed1"], whole.runs["interrupted"])
    page.select_option("[name=Metric]", "train/loss")
    drawn(page)
    assert len(traces(page, "curves")) == 2
    assert page.locator("#curves .scatterlayer .trace").count() == 2
    assert "training loss" in page.locator("#curves .ytitle").text_content()


def test_the_authors_curve_is_drawn_beside_runs_of_its_rows_recipe(lab, show, monkeypatch):
    official = OfficialCurve("demo/demo", "0123456", "logs", None, {"test/acc": (50.0, 60.0, 70.0, 80.0)}, ())
    monkeypatch.setattr(import_module("snnbench.results.dashboard.authors"), "curve_of", {ROW: official}.get)
    with show() as page:
        select(page, lab.runs["other_recipe"])
        page.select_option("[name=Metric]", "test/acc")
        drawn(page)
        assert "authors" not in {trace["name"] for trace in traces(page, "curves")}
        select(page, lab.runs["interrupted"], lab.runs["seed1"])
        drawn(page)
        (authors,) = [trace for trace in traces(page, "curves") if trace["name"] == "authors"]
        assert (authors["x"], authors["y"], authors["line"]["dash"]) == ([1, 2, 3], [50, 60, 70], "dash")
        page.select_option("[name=Metric]", "train/loss")
        drawn(page)
        assert "authors" not in {trace["name"] for trace in traces(page, "curves")}


def test_the_mean_over_seeds_is_their_mean(whole, page):
    select(page, whole.runs["seed0"], whole.runs["seed1"], whole.runs["resumed"], whole.runs["other_recipe"])
    page.select_option("[name=Metric]", "test/acc")
    page.select_option("[name=Lines]", "mean ± std over seeds")
    drawn(page)
    lines = [trace for trace in traces(page, "curves") if "customdata" in trace]
    values = [whole.result(name)["accuracy"]["last_epoch"] for name in ("seed0", "seed1", "resumed")]
    assert len(lines) == 2
    assert "n = 3" in lines[0]["name"]
    assert lines[0]["y"][-1] == pytest.approx(statistics.mean(values), abs=1e-2)
    assert lines[0]["customdata"][-1] == pytest.approx(statistics.stdev(values), abs=1e-2)
    assert "lr 0.001" in lines[1]["name"]


def test_accuracy_over_T_counts_each_seed_once_and_whole_finished_runs_alone(whole, page):
    panel(page, "timesteps")
    found = traces(page, "timesteps")
    assert len(found) == 3  # the row's recipe, the other one, the short run
    values = [whole.result(name)["accuracy"]["last_epoch"] for name in ("seed0", "seed1", "resumed")]
    (line,) = (trace for trace in found if "n = 3" in trace["customdata"][0][1])
    assert line["customdata"][0][0] == 2
    assert line["y"] == [pytest.approx(statistics.mean(values), abs=1e-2)]
    hint = page.inner_text("#panel .hint")
    assert "2 others left out" in hint
    assert "2 of a seed again, counted once" in hint


def test_layers_rates_energy_and_coefficients(whole, page):
    select(page, whole.runs["seed1"], whole.runs["seed0"])
    panel(page, "activity")
    result = whole.result("seed1")
    rates, energy = result["layers"], result["energy"]
    first, _ = traces(page, "firing")
    assert first["x"] == [pytest.approx(100 * layer["firing_rate"], rel=1e-2) for layer in rates.values()]
    first, _ = traces(page, "energy")
    assert first["y"] == list(energy["layers"])
    assert first["x"] == [pytest.approx(layer["picojoule"] / 1000, rel=1e-2) for layer in energy["layers"].values()]
    assert page.locator("#energy .xtitle").text_content() == "nJ per test sample"
    total = page.locator("#totals tbody tr").first.locator("td").all_inner_texts()
    assert float(total[3]) == pytest.approx(energy["picojoule"] / 1000, rel=1e-3)
    assert float(total[5].split()[0]) == pytest.approx(energy["ann_picojoule"] / energy["picojoule"], rel=1e-3)
    panel(page, "coefficients")
    assert "learn no coefficient" in page.inner_text("#panel")
    assert [trace["x"] for trace in traces(page, "over-epochs")] == [[1, 2, 3]] * len(rates)


def test_differences_between_selected_runs_are_marked(whole, page):
    select(page, whole.runs["seed0"], whole.runs["other_recipe"])
    panel(page, "compare")
    assert compared(page, "optimizer.lr") == (["0.005", "0.001"], [False, True])
    assert compared(page, "batch_size") is None
    page.check("[name='also what is equal']")
    drawn(page)
    assert compared(page, "batch_size") == (["128", "128"], [False, False])


def test_papers_and_problems_are_shown(lab, show):
    shutil.copytree(lab.runs["seed0"], lab.outputs / "z_backup" / "run")
    (lab.runs["seed1"] / "result.json").write_text("{")
    with show(view="answer") as page:
        assert "2 runs ended early, 1 problem, 1 copy counted once" in page.inner_text("#notice")
        text = page.inner_text("#paper-demo")
        assert "digits_convnet_t2" in text
        assert "90.00" in text
        assert "(n=2)" in text
        assert page.locator("#paper-demo .main-svg").count() > 0
        assert page.locator("#paper-arlif").count() == 0
        page.check("[name='also rows without a run']")
        page.wait_for_selector("#paper-arlif")
        cell = page.locator("#paper-arlif tr", has_text="cifar10_resnet18_t4").first.locator("td").nth(1)
        assert "[" not in cell.inner_text()
        assert cell.locator("sup").count() >= 1
        assert "not runnable: its network is not known" in page.inner_text("#paper-demo")
        assert page.locator("#paper-arlif tbody tr").count() > 10
        page.click("#tab-problems")
        assert "result.json is damaged" in page.inner_text("#unread")
        assert "z_backup" in page.inner_text("#copies")


def test_hostile_text_is_shown_as_it_is(lab, show):
    config = lab.runs["seed1"] / "config.yaml"
    config.write_text(config.read_text().replace("name: lif", f"name: {json.dumps(HOSTILE)}"))
    config.write_text(config.read_text().replace("name: digits-", f"name: {HOSTILE}", 1))
    lab.edit_result("seed1", labels={"neuron": HOSTILE})
    lab.edit_result("failed", error=HOSTILE)
    shutil.copytree(lab.runs["seed0"], lab.outputs / "<img src=x onerror=alert(3)>")
    with show() as page:
        assert page.locator("#runs tbody tr", has_text=HOSTILE).count() == 2
        head = page.locator(".dt-scroll-head thead th", has_text="neuron").first
        head.locator(".dtcc-button_dropdown").click()
        assert HOSTILE in page.inner_text(".dtcc-dropdown")
        page.keyboard.press("Escape")
        page.click("#select-shown")
        for name in ("curves", "timesteps", "activity", "coefficients", "confusion", "compare"):
            panel(page, name)
        for name in ("answer", "problems"):
            look_at(page, name)
            assert page.locator("img").count() == 0


def test_without_runs_the_page_says_so(show, tmp_path):
    (tmp_path / "empty").mkdir()
    with show(tmp_path / "empty") as page:
        assert "No runs" in page.inner_text("#runs tbody")
        for name in ("curves", "timesteps", "activity", "coefficients", "confusion", "compare"):
            panel(page, name)
            assert page.locator("#panel .empty").count() >= 1
        look_at(page, "answer")
        assert page.locator("#view-answer .empty").count() == 3
        look_at(page, "problems")
        assert page.locator("#view-problems .empty").count() == 1
