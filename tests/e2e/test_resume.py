"""A killed run, resumed, ends with the same bits as one that was never killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT, read_csv

MIX = "[{_target_: torchvision.transforms.v2.MixUp, num_classes: 10, alpha: 0.5}]"


def start(outputs: Path, *options: str) -> subprocess.Popen:
    environment = {**os.environ, "SNNBENCH_OUTPUTS": str(outputs), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "train.py", *options]
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for_epochs(outputs: Path, count: int) -> Path:
    """The run's folder, once metrics.csv has `count` rows."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for path in outputs.glob("*/*/metrics.csv"):
            if len(read_csv(path)) >= count:
                return path.parent
        time.sleep(0.02)
    raise AssertionError(f"no {count} epochs within two minutes")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def assert_same_run(folder: Path, expected: Path) -> None:
    ours, theirs = weights(folder), weights(expected)
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        assert torch.equal(value, theirs[key]), key
    for name in ("metrics.csv", "layers.csv"):
        assert (folder / name).read_text() == (expected / name).read_text()
    results = [json.loads((path / "result.json").read_text()) for path in (folder, expected)]
    for key in ("accuracy", "final_loss", "layers", "firing_rate", "epochs", "status"):
        assert results[0][key] == results[1][key], key


@pytest.mark.parametrize(
    ("workers", "mixed"),
    [(2, False), (0, True), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((0, False), (2, True)))],
)
def test_kill_and_resume(tmp_path, workers, mixed):
    augment = f"augment.batch={MIX}" if mixed else "augment=crop_flip"
    options = ("T=2", "epochs=5", "data.limit=192", "backbone.width=4", "threads=1", f"data.num_workers={workers}")
    options += ("augment=crop_flip", augment) if mixed else (augment,)
    undisturbed = start(tmp_path / "a", *options)
    killed = start(tmp_path / "b", *options)
    folder = wait_for_epochs(tmp_path / "b", 2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stderr.close()
    assert json.loads((folder / "result.json").read_text())["status"] == "running"
    assert len(read_csv(folder / "metrics.csv")) < 5
    resumed = start(tmp_path / "unused", f"resume={folder}")
    for process in (undisturbed, resumed):
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err.decode()
    (expected,) = (path.parent for path in (tmp_path / "a").glob("*/*/result.json"))
    assert_same_run(folder, expected)
    assert len((folder / "environment.jsonl").read_text().splitlines()) == 2


def test_ctrl_c_leaves_a_resumable_run_and_says_how(tmp_path):
    process = start(tmp_path, "T=2", "epochs=200", "data.limit=192", "backbone.width=4", "threads=1")
    folder = wait_for_epochs(tmp_path, 1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err.decode()
    assert f"resume={folder}" in err.decode() or f"resume={os.path.relpath(folder, ROOT)}" in err.decode()
    assert "Traceback" not in err.decode()
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "interrupted"
    assert result["accuracy"]["last_epoch"] is not None
    rows = len(read_csv(folder / "metrics.csv"))
    assert result["epochs"] == {"planned": 200, "run": rows}
    again = start(tmp_path / "unused", f"resume={folder}")
    deadline = time.monotonic() + 60
    while len(read_csv(folder / "metrics.csv")) <= rows and time.monotonic() < deadline:
        time.sleep(0.05)
    again.kill()
    again.communicate()
    epochs = [int(row["epoch"]) for row in read_csv(folder / "metrics.csv")]
    assert epochs == list(range(len(epochs)))
    assert len(epochs) > rows


def test_a_run_killed_in_its_first_epoch_starts_again_in_its_folder(command):
    from tests.conftest import TINY

    run = command("train", *TINY)
    expected = (run.folder / "metrics.csv").read_text()
    result = (run.folder / "result.json").read_text()
    (run.folder / "result.json").write_text(result.replace('"finished"', '"running"'))
    for name in ("last.ckpt", "best.ckpt"):
        (run.folder / "checkpoints" / name).unlink()
    done = command("train", f"resume={run.folder}")
    assert done.code == 0, done.err
    assert done.folders == [run.folder]
    assert (run.folder / "metrics.csv").read_text() == expected
