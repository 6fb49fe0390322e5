"""The dashboard's page as a file: what is in it, what is said of it, and what bad input gets."""

import base64
import gzip
import json
import os
import re
import shutil
import sys
from importlib import import_module

import pytest

from snnbench.official import OfficialCurve, curve_of
from snnbench.results.dashboard import build, details
from snnbench.results.dashboard.entries import config_columns
from snnbench.runs.read import read_ledger
from tests.conftest import read_csv
from tests.lab import ROW, RUNS
from tests.results.made_up_runs import of_row

HOSTILE = "</script><script>alert(1)</script>&<img src=x onerror=alert(2)>"


@pytest.fixture
def dashboard(lab, capsys):
    """`dashboard(*words)`: exit code, output, errors and the page's data of scripts/dashboard.py on the lab."""
    from scripts.dashboard import main

    def run(*words, folders=None):
        output = lab.outputs / "dashboard.html"
        paths = [str(folder) for folder in (folders or [lab.outputs])]
        sys.stdout.reconfigure(errors="backslashreplace")  # a command of its own has another stream
        code = main([*paths, "--output", str(output), "--configs", str(lab.configs), *words])
        captured = capsys.readouterr()
        text = output.read_text() if output.exists() else ""
        return code, captured.out, captured.err, text

    return run


def script(text, id):
    (found,) = re.findall(rf'<script type="application/json" id="{id}">(.*?)</script>', text, re.S)
    return json.loads(found, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def unpacked(text, run):
    return json.loads(gzip.decompress(base64.b64decode(script(text, "details")[run])))


def test_every_run_is_on_the_page_once_with_its_numbers(lab, dashboard):
    code, out, _, text = dashboard()
    assert code == 0
    assert f"{len(RUNS)} runs" in out
    runs = script(text, "data")["runs"]
    assert sorted(run["folder"] for run in runs) == sorted(map(str, lab.runs.values()))
    by_folder = {run["folder"]: (place, run) for place, run in enumerate(runs)}
    for name, folder in lab.runs.items():
        place, run = by_folder[str(folder)]
        result = lab.result(name)
        assert (run["status"], run["seed"], run["T"]) == (result["status"], result["seed"], result["T"])
        assert run["values"]["last_epoch"] == pytest.approx(result["accuracy"]["last_epoch"], rel=1e-5)
        assert run["values"]["best_test_epoch"] == pytest.approx(lab.best(name), rel=1e-5)
        assert (run["epochs"], run["planned"]) == (result["epochs"]["run"], result["epochs"]["planned"])
        assert run["provenance"] == ("subset" if name == "subset" else "real")
        assert len(unpacked(text, place)["metrics"]["epoch"].split(",")) == run["epochs"]
    assert "the machine is on fire" in by_folder[str(lab.runs["failed"])][1]["error"]
    assert "not the real data: subset" in by_folder[str(lab.runs["subset"])][1]["note"]


def numbers(text):
    return [float(part) for part in text.split(",")]


def test_curves_and_layers_are_those_of_the_files(lab, dashboard):
    text = dashboard()[-1]
    place = [run["folder"] for run in script(text, "data")["runs"]].index(str(lab.runs["seed1"]))
    found = unpacked(text, place)
    metrics = read_csv(lab.runs["seed1"] / "metrics.csv")
    assert found["metrics"].keys() == metrics[0].keys()
    for name, values in found["metrics"].items():
        assert numbers(values) == pytest.approx([float(row[name]) for row in metrics], rel=1e-3)
    lines = read_csv(lab.runs["seed1"] / "layers.csv")
    points = {
        (float(epoch), layer, quantity): value
        for quantity, layers in found["layers"].items()
        for layer, (epochs, values) in layers.items()
        for epoch, value in zip(epochs.split(","), numbers(values), strict=True)
    }
    assert len(points) == len(lines) > 0
    for line in lines:
        value = points[float(line["epoch"]), line["layer"], line["quantity"]]
        assert value == pytest.approx(float(line["value"]), rel=1e-3)


def test_the_authors_curve_is_there_for_the_runs_of_its_rows_recipe(lab, dashboard, monkeypatch):
    official = OfficialCurve("demo/demo", "0123456", "logs", None, {"test/acc": (50.0, 60.0, 70.0, 80.0)}, ())
    monkeypatch.setattr(import_module("snnbench.results.dashboard.authors"), "curve_of", {ROW: official}.get)
    data = script(dashboard()[-1], "data")
    assert data["official"]["curves"] == {ROW: [50.0, 60.0, 70.0, 80.0]}
    beside = {data["runs"][place]["folder"] for place in data["official"]["runs"]}
    assert beside == {str(lab.runs[name]) for name in set(RUNS) - {"other_recipe", "subset", "no_row"}}


def test_runs_of_one_family_differ_in_seed_and_T_alone(lab, dashboard):
    runs = {run["folder"]: run for run in script(dashboard()[-1], "data")["runs"]}
    family = {name: runs[str(folder)]["family"] for name, folder in lab.runs.items()}
    assert family["seed0"] == family["seed1"] == family["resumed"] == family["no_row"]
    assert len({family[name] for name in ("seed0", "other_recipe", "short", "subset")}) == 4


def test_config_columns_hold_every_value(lab):
    runs = read_ledger([lab.outputs]).runs
    columns = config_columns(runs)
    lr = columns["optimizer.lr"]
    for place, run in enumerate(runs):
        assert lr["values"][lr["index"][place]] == run.config["optimizer"]["lr"]
    assert columns["T"] == {"group": "Recipe", "values": [2]}


def test_the_tables_of_the_papers_are_those_of_tables_py(lab, dashboard, tables):
    papers = {paper["key"]: paper for paper in script(dashboard()[-1], "data")["papers"]}
    out = tables("demo", "--format", "csv")[1]
    assert papers["demo"]["columns"][-2:] == ["authors' curve", "status"]
    for *cells, curve, status in papers["demo"]["lines"]:
        assert all(cell in out for cell in [*cells, status])
        assert curve == "-"
    (point,) = papers["demo"]["points"]
    assert (point["row"], point["reported"], point["n"], point["runs"]) == (ROW, 90.0, 3, 9)
    assert {"arlif", "dalif", "klif"} <= papers.keys()


def test_copies_and_everything_unreadable_are_named(lab, dashboard):
    copy = lab.outputs / "z_backup" / "run"
    shutil.copytree(lab.runs["seed0"], copy)
    (lab.runs["seed1"] / "result.json").write_text('{"schema": 1, "sta')
    lab.edit_result("short", schema=99)
    (lab.runs["subset"] / "config.yaml").unlink()
    (lab.runs["resumed"] / "metrics.csv").write_text("epoch,test/acc\n0,ninety\n")
    (lab.runs["no_row"] / "layers.csv").unlink()
    code, out, _, text = dashboard()
    data = script(text, "data")
    assert code == 0
    assert data["copies"] == [[str(copy), str(lab.runs["seed0"])]]
    said = "\n".join(data["problems"])
    for name, why in {
        "seed1": "result.json is damaged",
        "short": "schema 99; this version reads 1",
        "subset": "no config.yaml",
        "resumed": "metrics.csv: is damaged",
        "no_row": "layers.csv: is missing",
    }.items():
        (line,) = (line for line in data["problems"] if str(lab.runs[name]) in line)
        assert why in line
        assert f"note: {line}" in out
    assert len(data["problems"]) == 5, said
    assert len(data["runs"]) == len(RUNS) - 3


def test_a_failed_run_need_not_have_curves(lab, dashboard):
    for name in ("metrics.csv", "layers.csv"):
        (lab.runs["failed"] / name).unlink()
    assert script(dashboard()[-1], "data")["problems"] == []


def test_hostile_names_and_numbers_stay_data(lab, dashboard):
    config = lab.runs["seed1"] / "config.yaml"
    config.write_text(config.read_text().replace("name: digits-", f"name: {HOSTILE}", 1))
    lab.edit_result("failed", error=HOSTILE)
    lab.edit_result("seed0", firing_rate=float("nan"), parameters={"total": 10**400})
    lab.edit_result("no_row", energy={"picojoule": "much", "layers": {"a": 5, "b": {"picojoule": None}}})
    counted = str(lab.outputs / os.fsdecode(b"no text \xff") / "run")
    shutil.copytree(lab.runs["seed0"], counted)
    code, out, _, text = dashboard()
    assert code == 0
    assert "no text \\udcff/run" in out
    runs = {run["folder"]: run for run in script(text, "data")["runs"]}
    assert runs[str(lab.runs["seed1"])]["name"].startswith(HOSTILE)
    assert runs[str(lab.runs["no_row"])]["values"]["energy"] is None
    assert runs[str(lab.runs["failed"])]["error"] == HOSTILE
    values = runs[counted]["values"]
    assert values["firing_rate"] is values["parameters"] is None
    assert "alert(1)</script>" not in text


def test_many_runs_are_read_by_several_processes_with_the_same_outcome(lab, dashboard, monkeypatch):
    lab.edit_result("short", schema=99)
    (lab.runs["no_row"] / "layers.csv").unlink()
    one = dashboard()[-1]
    monkeypatch.setattr("snnbench.parallel.MANY", 2)
    several = dashboard()[-1]
    assert script(several, "details") == script(one, "details")
    first, second = script(one, "data"), script(several, "data")
    assert first | {"generated": ""} == second | {"generated": ""}


def test_thinning_keeps_whole_epochs_among_the_tested_ones_and_the_last():
    lines = [f"{epoch},layer{layer},k,{epoch + layer}.5\n" for epoch in range(300) for layer in range(3)]
    text = ("epoch,layer,quantity,value\n" + "".join(lines)).encode()
    tested = list(range(0, 300, 2))
    layers = details.read_layers(text, tested, 10)["k"]
    assert layers.keys() == {"layer0", "layer1", "layer2"}
    epochs = [int(epoch) for epoch in layers["layer0"][0]]
    assert len(epochs) == 10
    assert set(epochs) <= set(tested)
    assert (epochs[0], epochs[-1]) == (0, 298)
    assert [float(value) for value in layers["layer2"][1]] == [epoch + 2.5 for epoch in epochs]
    assert len(details.read_layers(text, tested, 150)["k"]["layer1"][0]) == 300


def test_no_runs_at_all_is_a_page_that_says_so(dashboard, tmp_path):
    (tmp_path / "empty").mkdir()
    code, out, _, text = dashboard(folders=[tmp_path / "empty"])
    assert code == 0
    assert "0 runs" in out
    assert script(text, "data")["runs"] == []


def test_bad_words_are_refused(dashboard, lab, tmp_path):
    code, _, err, _ = dashboard(folders=[tmp_path / "nothing"])
    assert code == 2
    assert "no such folder" in err
    (tmp_path / "file").write_text("")
    assert dashboard(folders=[tmp_path / "file"])[0] == 2
    code, _, err, _ = dashboard("--output", str(tmp_path / "nowhere" / "page.html"))
    assert code == 2
    assert "cannot write" in err


def test_the_page_needs_nothing_but_itself(dashboard):
    text = dashboard()[-1]
    markup = re.sub(r"<script.*?</script>|<style.*?</style>", "", text, flags=re.S)
    assert not re.search(r"https?://|src=|<link", markup)
    assert "default-src 'none'" in markup


def test_the_authors_curve_has_its_verdict_and_confusions_their_damage(tmp_path):
    row = "psn/seqcifar100_seqnet_t32_lif"
    official = curve_of(row).accuracy
    for seed, shift in enumerate((0.0, 0.1)):
        of_row(tmp_path, row, [value + shift for value in official], seed)
    far = of_row(tmp_path / "far", row, [value - 9 for value in official], 2)
    (far / "layers.csv").write_text("epoch,layer,quantity,value\n")
    (far / "confusion.csv").write_text("class,predicted,samples\n0,1,many\n")
    found = build([tmp_path])
    (paper,) = (paper for paper in script(found.html, "data")["papers"] if paper["key"] == "psn")
    (line,) = (line for line in paper["lines"] if line[0] == row.partition("/")[2])
    assert line[-2].startswith("below")
    assert line[-2].endswith("to epoch 256")
    assert [note for note in found.notes if str(far) in note] == [
        f"{far / 'confusion.csv'}: is damaged; what it holds is not shown"
    ]
    shutil.rmtree(far)
    (paper,) = (paper for paper in script(build([tmp_path]).html, "data")["papers"] if paper["key"] == "psn")
    (line,) = (line for line in paper["lines"] if line[0] == row.partition("/")[2])
    assert line[-2].startswith("agrees")
