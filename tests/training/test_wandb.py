"""What wandb is told, read back from the file that it would upload."""

import json
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from snnbench.official import OfficialCurve
from snnbench.runs.read import Run
from snnbench.training import loggers
from snnbench.training.loggers import close_wandb, earlier_wandb_id, outcome
from tests.conftest import TINY
from tests.test_configs import compose

ROW = (
    "{id: demo/digits, paper: demo, table: 1, tolerance: 1.0, "
    "reported: {acc: 90.0, protocol: best_test_epoch, source: paper}}"
)


def records(path: Path) -> Iterator:
    """The records of a .wandb file: LevelDB's log format behind a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole, block = path.read_bytes(), 7, b"", 32768
    assert data[:4] == b":W&B"
    while at < len(data):
        left = block - at % block
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or its last part
            yield Record.FromString(whole)
            whole = b""


def written() -> None:
    """Wait until wandb's own process, which writes the file, has ended; `wandb.finish` returns before."""
    import wandb

    wandb.teardown()


def items(found) -> dict:
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in found}


@pytest.fixture
def offline(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", os.devnull)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")


def test_an_offline_run_holds_group_summary_and_charts_over_epochs(offline, command):
    options = [option for option in TINY if option != "logger=none"]
    done = command("train", *options, "logger=wandb", "neuron=dalif", f"row={ROW}")
    assert done.code == 0, done.err
    written()
    (path,) = done.folder.glob("wandb/offline-run-*/*.wandb")
    found = list(records(path))
    (run,) = (record.run for record in found if record.HasField("run"))
    assert run.run_group == "demo/digits"
    history = [items(record.history.item) for record in found if record.HasField("history")]
    assert [line["epoch"] for line in history] == [0, 1]
    layers = done.result()["layers"]
    for line in history:
        assert {
            f"{quantity}/{layer}" for layer in layers for quantity in ("firing_rate", "alpha", "beta")
        } <= line.keys()
    assert history[-1]["alpha/units.0.neuron"] == layers["units.0.neuron"]["alpha"]
    metrics = [record.metric for record in found if record.HasField("metric")]
    axes = {metric.glob_name or metric.name: metric.step_metric for metric in metrics}
    assert axes["*"] == "epoch"
    summary = {}
    for record in found:
        summary |= items(record.summary.update)
    result = done.result()
    assert summary["row/reported"] == 90.0
    assert summary["row/protocol"] == "best_test_epoch"
    assert summary["accuracy/last_epoch"] == result["accuracy"]["last_epoch"]
    assert summary["accuracy/best_test_epoch"] == result["accuracy"]["best_test_epoch"]["acc"]
    assert "row/difference" not in summary  # on a part of the data
    assert "backbone.width=4" in summary["row/overrides"]


def test_the_authors_accuracy_stands_beside_the_runs_own_at_each_epoch(offline, command, monkeypatch):
    curve = OfficialCurve("demo/demo", "0123456789", "logs/a", None, {"test/acc": (51.5,)}, ())
    monkeypatch.setattr(loggers, "curve_of", {"demo/digits": curve}.get)
    options = [option for option in TINY if option != "logger=none"]
    done = command("train", *options, "logger=wandb", f"row={ROW}")
    assert done.code == 0, done.err
    written()
    (path,) = done.folder.glob("wandb/offline-run-*/*.wandb")
    found = list(records(path))
    first, second = [items(record.history.item) for record in found if record.HasField("history")]
    assert (first["epoch"], first["test/acc_official"]) == (0, 51.5)
    assert "test/acc" in first
    assert "test/acc_official" not in second  # the authors' log ends before
    summary = {}
    for record in found:
        summary |= items(record.summary.update)
    assert summary["row/official"] == "demo/demo at 0123456, logs/a"
    assert "official" not in (done.folder / "metrics.csv").read_text()


def test_what_the_trainer_refuses_leaves_no_wandb_run_behind(offline, command):
    done = command("train", *TINY[:-1], "logger=wandb", "trainer.strategy=nonsense")
    assert done.code == 2, done.err
    wandb = sys.modules.get("wandb")
    assert wandb is None or wandb.run is None
    assert not done.folders


def test_an_error_right_after_wandb_has_begun_ends_its_run_and_stays_the_error(offline, command, monkeypatch):
    def broken(*_):
        raise RuntimeError("no Record")

    monkeypatch.setattr("snnbench.training.run.Record", broken)
    done = command("train", *TINY[:-1], "logger=wandb", "row={id: mine, reported: {acc: 90.0}}")
    assert "RuntimeError: no Record" in done.err
    assert sys.modules["wandb"].run is None


def test_what_goes_wrong_while_wandb_is_told_ends_its_run_and_fails_none(tmp_path, monkeypatch, caplog):
    import wandb

    ended = []
    monkeypatch.setattr(wandb, "run", object())
    monkeypatch.setattr(wandb, "finish", lambda exit_code: ended.append(exit_code))
    close_wandb(tmp_path)
    monkeypatch.setattr(loggers, "read_run", lambda folder: finished(folder, "train.py"))
    close_wandb(tmp_path)
    assert ended == [1, 0]
    (record,) = caplog.records
    assert record.getMessage() == "wandb was not told the outcome"


def finished(folder: Path, command: str, reported: float | None = 90.0, **result) -> Run:
    """A run of a row that reached 91.5 in its best epoch and 91 in its last."""
    row = {"id": "demo/digits", "reported": {"acc": reported, "protocol": "best_test_epoch", "source": "paper"}}
    accuracy = {"last_epoch": 91.0, "best_test_epoch": {"acc": 91.5, "epoch": 3}, "validation_chosen": None}
    values = {"accuracy": accuracy, "provenance": "real", "environment": {"command": command}}
    values |= {"epochs": {"planned": 5, "run": 5}, **result}
    return Run(folder, {"row": row, "T": 2, "seed": 0, "epochs": 5}, values, "finished", "")


def test_the_difference_is_that_of_the_papers_protocol_and_recipe(tmp_path):
    as_it_is = outcome(finished(tmp_path, "python train.py experiment=demo/digits seed=1 paths.data=/d"))
    assert as_it_is["row/difference"] == pytest.approx(1.5)
    assert as_it_is["row/overrides"] == ""
    assert (as_it_is["accuracy/last_epoch"], as_it_is["accuracy/best_test_epoch"]) == (91.0, 91.5)
    assert "accuracy/validation_chosen" not in as_it_is
    changed = outcome(finished(tmp_path, "python train.py experiment=demo/digits optimizer.lr=1 seed=1"))
    assert changed["row/overrides"] == "optimizer.lr=1"
    unknown = outcome(finished(tmp_path, "python train.py", reported=None))
    subset = outcome(finished(tmp_path, "python train.py", provenance="subset"))
    early = outcome(finished(tmp_path, "python train.py", epochs={"planned": 5, "run": 4}))
    longer = finished(tmp_path, "python train.py experiment=demo/digits")
    longer.config["extended"] = [{"at": 3, "epochs": 3, "schedule": 3}]
    assert outcome(longer)["row/overrides"] == "epochs=5"
    moved = finished(tmp_path, "python train.py experiment=demo/digits")
    moved.config.update({"moved": [{"at": 3, "devices": 2, "num_nodes": 1}], "trainer": {"devices": 1}})
    assert outcome(moved)["row/overrides"] == "trainer.devices=1"
    for other in (changed, unknown, subset, early, outcome(longer), outcome(moved)):
        assert "row/difference" not in other
        assert other["accuracy/best_test_epoch"] == 91.5


def test_a_resumed_run_goes_on_as_the_same_wandb_run(tmp_path):
    node = OmegaConf.create({"save_dir": str(tmp_path)})
    assert earlier_wandb_id(node) is None
    for name in ("offline-run-20260101_000000-abc", "run-20260102_000000-abc", "latest-run"):
        (tmp_path / "wandb" / name).mkdir(parents=True)
    assert earlier_wandb_id(node) == "abc"
    node.id = "mine"
    assert earlier_wandb_id(node) == "mine"


def test_the_group_is_the_row_or_else_the_name():
    assert compose("logger=wandb", "neuron=lif").logger.wandb.group == "digits-convnet-lif-T4"
    row = compose("logger=wandb", "experiment=arlif/cifar10_resnet18_t4")
    assert row.logger.wandb.group == "arlif/cifar10_resnet18_t4"
