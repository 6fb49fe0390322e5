"""Reading runs back: each once, none lost, and whatever cannot be read is named."""

import fcntl
import json
import shutil

import pytest

from snnbench.errors import UserError
from snnbench.runs.read import read_ledger
from tests.lab import ROW, RUNS


def statuses(ledger):
    return {run.folder.parent.name: run.status for run in ledger.runs}


def test_every_run_is_read_with_its_status(lab):
    ledger = read_ledger([lab.outputs])
    expected = dict.fromkeys(RUNS, "finished") | {"failed": "failed", "interrupted": "interrupted"}
    assert statuses(ledger) == expected
    assert ledger.problems == []
    assert ledger.copies == []
    by_name = {run.folder.parent.name: run for run in ledger.runs}
    assert by_name["no_row"].row is None
    assert {run.row for run in ledger.runs} == {ROW, None}
    assert (by_name["interrupted"].epochs, by_name["interrupted"].planned) == (2, 3)
    assert by_name["seed1"].curve.keys() == {0, 1, 2}
    assert by_name["seed1"].curve[2] == by_name["seed1"].accuracy("last_epoch")
    assert by_name["seed1"].accuracy("best_test_epoch") == max(by_name["seed1"].curve.values())
    assert by_name["seed1"].accuracy("validation_chosen") is None
    assert "experiment=" in by_name["resumed"].command
    recipes = {name: run.recipe for name, run in by_name.items()}
    assert (
        len({recipes[name] for name in ("seed0", "seed1", "seed0_again", "failed", "resumed", "short", "no_row")}) == 1
    )
    assert recipes["other_recipe"] != recipes["seed0"] != recipes["subset"]


def test_copies_are_counted_once_and_the_furthest_of_them_counts(lab):
    shutil.copytree(lab.runs["seed0"], lab.outputs / "backup" / "seed0")
    early = lab.outputs / "backup" / "early"
    shutil.copytree(lab.runs["seed1"], early)
    result = json.loads((early / "result.json").read_text())
    result |= {"status": "interrupted", "epochs": {"planned": 3, "run": 1}}
    (early / "result.json").write_text(json.dumps(result))
    ledger = read_ledger([lab.outputs])
    assert len(ledger.runs) == len(RUNS)
    assert len(ledger.copies) == 2
    assert lab.runs["seed1"] in {run.folder for run in ledger.runs}
    assert early in {copy.folder for copy, _ in ledger.copies}


def test_a_folder_given_twice_is_read_once(lab):
    ledger = read_ledger([lab.outputs, lab.outputs / "seed0", lab.runs["seed0"]])
    assert len(ledger.runs) == len(RUNS)
    assert ledger.copies == []


def test_killed_and_running_runs_are_told_apart_by_the_lock(lab):
    lab.edit_result("seed0", status="running")
    lab.edit_result("seed1", status="running")
    with (lab.runs["seed1"] / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        found = statuses(read_ledger([lab.outputs]))
    assert (found["seed0"], found["seed1"]) == ("killed", "running")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 1, "sta', "damaged"),
        ("", "damaged"),
        ("[1, 2]", "not a result of snnbench"),
        ('{"accuracy": 90}', "not a result of snnbench"),
        ('{"schema": 2, "status": "finished"}', "schema 2; this version reads 1"),
        ('{"schema": 1, "status": "done", "provenance": "real"}', "damaged (status 'done')"),
        ('{"schema": 1, "status": "finished", "provenance": "real", "accuracy": null}', "without an accuracy"),
        ('{"schema": 1, "status": "running", "provenance": "real", "seed": 99, "T": 2}', "seed=99"),
        (b"\xff\xfe\x00", "damaged"),
    ],
)
def test_a_bad_result_is_named_and_the_others_are_read(lab, text, message):
    path = lab.runs["seed0"] / "result.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    ledger = read_ledger([lab.outputs])
    assert len(ledger.runs) == len(RUNS) - 1
    (problem,) = ledger.problems
    assert problem.startswith(str(path.parent))
    assert message in problem


@pytest.mark.parametrize(
    "values",
    [
        {"accuracy": {"last_epoch": float("inf")}},
        {"accuracy": {"last_epoch": 90.0, "best_test_epoch": 91.0}},
        {"accuracy": {"last_epoch": 90.0, "best_test_epoch": {"acc": "91"}}},
        {"epochs": {"planned": 3}},
        {"epochs": {"planned": 3, "run": "three"}},
    ],
)
def test_a_result_of_the_wrong_kind_is_named_too(lab, values):
    lab.edit_result("seed0", **values)
    ledger = read_ledger([lab.outputs])
    assert len(ledger.runs) == len(RUNS) - 1
    (problem,) = ledger.problems
    assert problem.startswith(str(lab.runs["seed0"]))
    assert "damaged" in problem


@pytest.mark.parametrize(("old", "new"), [("row:\n", "row: [x]\nrest:\n"), ("epochs: 3\n", "epochs: many\n")])
def test_a_config_of_the_wrong_kind_is_named_too(lab, old, new):
    path = lab.runs["seed0"] / "config.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    ledger = read_ledger([lab.outputs])
    assert len(ledger.runs) == len(RUNS) - 1
    assert "damaged" in ledger.problems[0]


def test_missing_and_unreadable_files_are_named(lab):
    (lab.runs["seed0"] / "result.json").unlink()
    (lab.runs["seed1"] / "config.yaml").unlink()
    (lab.runs["failed"] / "config.yaml").write_text("a: [1,")
    (lab.runs["short"] / "config.yaml").write_text("just text")
    (lab.runs["subset"] / "result.json").unlink()
    (lab.runs["subset"] / "result.json").mkdir()
    ledger = read_ledger([lab.outputs])
    assert len(ledger.runs) == len(RUNS) - 5
    said = {problem.partition(":")[0].split("/")[-2]: problem for problem in ledger.problems}
    assert "before training began" in said["seed0"]
    assert "no config.yaml" in said["seed1"]
    assert "config.yaml cannot be read" in said["failed"]
    assert "not the config of a run" in said["short"]
    assert "result.json cannot be read" in said["subset"]


def test_an_unreadable_folder_is_named(lab, monkeypatch):
    import os

    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("seed0"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refusing)  # as root, no folder is unreadable
    ledger = read_ledger([lab.outputs])
    assert len(ledger.runs) == len(RUNS) - 1
    (problem,) = ledger.problems
    assert "seed0" in problem
    assert "Permission denied" in problem


def test_damaged_metrics_leave_a_run_without_a_curve(lab):
    (lab.runs["seed0"] / "metrics.csv").write_text("epoch,test/acc\n0,abc\n")
    (lab.runs["seed1"] / "metrics.csv").unlink()
    runs = {run.folder.parent.name: run for run in read_ledger([lab.outputs]).runs}
    assert runs["seed0"].curve == runs["seed1"].curve == {}
    assert runs["seed0"].epochs == 3


def test_no_such_folder(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        read_ledger([tmp_path / "nothing"])


def test_a_run_records_the_code_of_the_classes_that_its_config_names(lab):
    code = lab.result("seed0")["code"]
    assert code["snnbench.neurons.LIF"] == 1
    assert code["snnbench.data.ImageData"] == 1
    assert not any(target.startswith(("torch.", "lightning.")) for target in code)
    lab.edit_result("seed0", code={**code, "snnbench.neurons.LIF": "0123456789ab"})  # a changed copy of LIF
    runs = {run.folder: run.recipe for run in read_ledger([lab.outputs]).runs}
    assert runs[lab.runs["seed0"]] != runs[lab.runs["seed1"]] == runs[lab.runs["seed0_again"]]


def test_runs_behind_links_are_found_once_and_loops_end(lab, tmp_path):
    """A run, a group of runs and the whole folder are links; others lead back, out, and nowhere."""
    store = tmp_path / "store"
    store.mkdir()
    for name in ("seed0", "seed1"):
        (lab.outputs / name).rename(store / name)
        (lab.outputs / name).symlink_to(store / name)
    (store / "one").mkdir()
    (lab.outputs / "short" / "run").rename(store / "one" / "run")
    (lab.outputs / "short" / "run").symlink_to(store / "one" / "run")
    (lab.outputs / "again").symlink_to(store / "seed0")
    (lab.outputs / "up").symlink_to("..")
    (lab.outputs / "root").symlink_to("/")
    (lab.outputs / "seed1" / "loop").symlink_to(lab.outputs)
    (lab.outputs / "nowhere").symlink_to("nothing")
    (tmp_path / "link").symlink_to(lab.outputs)
    for top in (lab.outputs, tmp_path / "link"):
        ledger = read_ledger([top])
        assert len(ledger.runs) == len(lab.runs)
        assert (ledger.copies, ledger.problems) == ([], [])
    assert len(read_ledger([lab.outputs, tmp_path / "link", store]).runs) == len(lab.runs)
