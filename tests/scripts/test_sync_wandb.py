"""Offline runs, and only those that are whole and not uploaded yet, go to wandb."""

import fcntl
import json
from pathlib import Path

import pytest
import yaml

from scripts.sync_wandb import main


def run(outputs: Path, name: str, status: str = "finished") -> Path:
    """A run's folder with an offline wandb run; its .wandb file."""
    folder = outputs / name / "run"
    folder.mkdir(parents=True)
    config = {"T": 2, "seed": 0, "epochs": 1, "data": {}, "neuron": {}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    result = {"schema": 1, "status": status, "provenance": "real", "T": 2, "seed": 0, "accuracy": {"last_epoch": 1.0}}
    (folder / "result.json").write_text(json.dumps(result))
    log = folder / "wandb" / "offline-run-20260101_000000-abc" / "run-abc.wandb"
    log.parent.mkdir(parents=True)
    log.write_bytes(b":W&B")
    (folder / "wandb" / "latest-run").symlink_to(log.parent)
    return log


@pytest.fixture
def uploaded(monkeypatch, tmp_path):
    """The files that were handed to wandb."""
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    return []


def upload_to(uploaded: list, code: int = 0):
    return lambda logs: uploaded.extend(logs) or code


def test_what_is_whole_and_new_is_uploaded_once(tmp_path, uploaded, capsys):
    new, old, going = (
        run(tmp_path, name, status) for name, status in (("a", "finished"), ("b", "failed"), ("c", "running"))
    )
    old.with_suffix(".wandb.synced").touch()
    with (going.parents[2] / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main([str(tmp_path), str(tmp_path / "a")], upload_to(uploaded)) == 0
    assert uploaded == [new]
    out = capsys.readouterr().out
    assert f"going on: {going}" in out
    assert "3 offline runs, 1 of them uploaded before" in out


def test_a_killed_or_unreadable_run_is_uploaded_too(tmp_path, uploaded):
    killed, damaged = run(tmp_path, "a", "running"), run(tmp_path, "b")
    (damaged.parents[2] / "result.json").write_text("{")
    assert main([str(tmp_path)], upload_to(uploaded)) == 0
    assert uploaded == [killed, damaged]


def test_a_plan_uploads_nothing_and_needs_no_key(tmp_path, uploaded, monkeypatch, capsys):
    monkeypatch.delenv("WANDB_API_KEY")
    log = run(tmp_path, "a")
    assert main([str(tmp_path), "--plan"], upload_to(uploaded)) == 0
    assert uploaded == []
    assert f"to upload: {log}" in capsys.readouterr().out


def test_without_a_key_it_says_how_to_get_one(tmp_path, uploaded, monkeypatch, capsys):
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    run(tmp_path, "a")
    assert main([str(tmp_path)], upload_to(uploaded)) == 2
    assert uploaded == []
    assert "WANDB_API_KEY" in capsys.readouterr().err
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password 0123")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert main([str(tmp_path)], upload_to(uploaded, code=1)) == 1
    assert len(uploaded) == 1


def test_a_missing_folder_is_named_and_no_runs_are_no_error(tmp_path, uploaded, capsys):
    assert main([str(tmp_path / "none")], upload_to(uploaded)) == 2
    assert "there is no such folder" in capsys.readouterr().err
    assert main([str(tmp_path)], upload_to(uploaded)) == 0
    assert "0 offline runs" in capsys.readouterr().out
