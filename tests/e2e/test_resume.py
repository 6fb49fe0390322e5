"""A killed run, resumed, ends with the same bits as one that was never killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from snnbench.training.progress import Progress
from tests.conftest import ROOT, TINY, read_csv

MIX = "[{_target_: torchvision.transforms.v2.MixUp, num_classes: 10, alpha: 0.5}]"


def start(outputs: Path, *options: str, threads: str | None = "1") -> subprocess.Popen:
    """train.py in a process, and a process group, of its own; `threads`: what OMP_NUM_THREADS says."""
    environment = {**os.environ, "SNNBENCH_OUTPUTS": str(outputs), "OMP_NUM_THREADS": threads}
    environment = {key: value for key, value in environment.items() if value is not None}
    words = [sys.executable, "train.py", *options]
    return subprocess.Popen(
        words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # may be ignored where tests run
    )  # fmt: skip


def wait_for_epochs(outputs: Path, count: int) -> Path:
    """The run's folder, once metrics.csv has `count` rows."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for path in outputs.glob("*/*/metrics.csv"):
            if len(read_csv(path)) >= count:
                return path.parent
        time.sleep(0.02)
    raise AssertionError(f"no {count} epochs within two minutes")


def checkpoint(folder: Path, name: str = "last") -> dict:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def assert_same_run(folder: Path, expected: Path) -> None:
    for kind in ("last", "best"):
        ours, theirs = checkpoint(folder, kind), checkpoint(expected, kind)
        assert ours["epoch"] == theirs["epoch"]
        assert ours["state_dict"].keys() == theirs["state_dict"].keys()
        for key, value in ours["state_dict"].items():
            assert torch.equal(value, theirs["state_dict"][key]), (kind, key)
    for name in ("metrics.csv", "layers.csv"):
        assert (folder / name).read_text() == (expected / name).read_text()
    results = [json.loads((path / "result.json").read_text()) for path in (folder, expected)]
    for key in ("accuracy", "final_loss", "layers", "firing_rate", "epochs", "status"):
        assert results[0][key] == results[1][key], key


@pytest.mark.parametrize(
    ("workers", "mixed"),
    [(2, True), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((0, False), (0, True), (2, False)))],
)
def test_kill_and_resume(command, tmp_path, workers, mixed):
    augment = f"augment.batch={MIX}" if mixed else "augment=crop_flip"
    options = ("T=2", "epochs=5", "data.limit=192", "backbone.width=4", "threads=1", f"data.num_workers={workers}")
    options += ("augment=crop_flip", augment) if mixed else (augment,)
    expected = tmp_path / "expected"
    assert command("train", *options, f"paths.output_dir={expected}").code == 0
    killed = start(tmp_path / "killed", *options)
    folder = wait_for_epochs(tmp_path / "killed", 2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stderr.close()
    assert json.loads((folder / "result.json").read_text())["status"] == "running"
    assert len(read_csv(folder / "metrics.csv")) < 5
    resumed = command("train", f"resume={folder}")
    assert resumed.code == 0, resumed.err
    assert_same_run(folder, expected)
    assert len((folder / "environment.jsonl").read_text().splitlines()) == 2


def assert_interrupted(code: int, err: str, folder: Path, planned: int) -> None:
    """That a run says how to go on, and that its result holds what it had reached."""
    assert code == 130, err
    assert f"resume={folder}" in err or f"resume={os.path.relpath(folder, ROOT)}" in err
    assert "Traceback" not in err
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "interrupted"
    assert result["accuracy"]["last_epoch"] is not None
    assert result["epochs"] == {"planned": planned, "run": len(read_csv(folder / "metrics.csv"))}


def test_sigterm_to_the_whole_group_leaves_a_resumable_run(tmp_path):
    """So sends it a cluster's scheduler: to the loaders' processes, too."""
    process = start(tmp_path, *TINY, "epochs=200", "threads=1", "data.num_workers=2")
    folder = wait_for_epochs(tmp_path, 2)  # the first one's checkpoint is there
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert_interrupted(process.returncode, err.decode(), folder, planned=200)
    checkpoint(folder)


@pytest.mark.parametrize(
    ("number", "options"),
    [
        (signal.SIGTERM, ("neuron=masked_psn", "neuron.k=1")),
        (signal.SIGINT, ("trainer.precision=bf16-mixed", "neuron=dalif")),
    ],
)
def test_stopped_in_an_epoch_and_resumed_it_ends_with_the_same_bits(command, monkeypatch, tmp_path, number, options):
    def stop(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == 2 and batch_idx == 0:
            os.kill(os.getpid(), number)

    words = (*TINY, "epochs=4", "threads=1", *options)
    expected, folder = tmp_path / "expected", tmp_path / "folder"
    assert command("train", *words, f"paths.output_dir={expected}").code == 0
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # may be ignored where tests run
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_train_batch_end", stop)
        stopped = command("train", *words, f"paths.output_dir={folder}")
    signal.signal(signal.SIGINT, before)
    assert_interrupted(stopped.code, stopped.err, folder, planned=4)
    assert checkpoint(folder)["epoch"] == 1
    assert masks(folder) == ({torch.tensor(1 / 3).item()} if "masked" in options[0] else set())
    assert command("train", f"resume={folder}").code == 0
    assert_same_run(folder, expected)
    assert masks(folder) == ({1.0} if "masked" in options[0] else set())


def masks(folder: Path) -> set[float]:
    """How far the masks of masked PSNs are, in the last checkpoint."""
    return {value.item() for key, value in checkpoint(folder)["state_dict"].items() if key.endswith(".progress")}


def test_a_run_killed_in_its_first_epoch_starts_again_in_its_folder(command):
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


def pretend_killed(folder: Path) -> None:
    """Leave the folder as a kill between the last checkpoint and the final result does."""
    result = json.loads((folder / "result.json").read_text())
    for key in ("firing_rate", "layers", "accuracy", "epochs", "final_loss"):
        del result[key]
    (folder / "result.json").write_text(json.dumps({**result, "status": "running"}))


def best_state(folder: Path) -> dict:
    (state,) = (s for key, s in checkpoint(folder)["callbacks"].items() if "'monitor': 'test/acc'" in key)
    return state


def test_last_checkpoint_knows_what_was_best_in_its_own_epoch(command):
    """A new best in the very last epoch is known to last.ckpt, so a resumed run does not overwrite it with worse."""
    folder = command("train", "T=2", "epochs=2", "data.limit=600", "logger=none", "threads=1").folder
    accuracies = [float(row["test/acc"]) for row in read_csv(folder / "metrics.csv")]
    assert accuracies[1] > accuracies[0]
    assert float(best_state(folder)["best_model_score"]) == pytest.approx(accuracies[1])
    assert checkpoint(folder, "best")["epoch"] == 1


def test_a_run_killed_before_its_result_has_its_firing_rates_when_resumed(command):
    done = command("train", *TINY, "neuron=dalif", "threads=1")
    expected = done.result()
    assert expected["firing_rate"] > 0
    pretend_killed(done.folder)
    assert command("train", f"resume={done.folder}").code == 0
    for key in ("firing_rate", "layers", "accuracy", "epochs", "final_loss"):
        assert done.result()[key] == expected[key], key


def test_a_moved_run_goes_on_in_its_new_place(command, tmp_path):
    folder = command("train", "T=2", "epochs=2", "data.limit=600", "logger=none", "threads=1").folder
    pretend_killed(folder)
    score = best_state(folder)["best_model_score"]
    moved = Path(shutil.move(folder, tmp_path / "moved"))
    config = (moved / "config.yaml").read_text()
    for key in ("epochs", "max_epochs", "T_max"):
        config = config.replace(f"{key}: 2\n", f"{key}: 3\n")
    (moved / "config.yaml").write_text(config)
    (moved / "checkpoints" / ".last.ckpt.abc123").write_bytes(b"half")
    done = command("train", f"resume={moved}")
    assert done.code == 0, done.err
    assert not folder.exists()
    assert {path.name for path in (moved / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    state = best_state(moved)
    assert state["dirpath"] == str(moved / "checkpoints")
    assert state["best_model_path"] == str(moved / "checkpoints" / "best.ckpt")
    assert state["best_model_score"] >= score
    accuracies = [float(row["test/acc"]) for row in read_csv(moved / "metrics.csv")]
    assert len(accuracies) == 3
    assert checkpoint(moved, "best")["epoch"] == accuracies.index(max(accuracies))
    assert command("eval", f"run={moved}", "ckpt=best").code == 0


def test_firing_rates_are_of_epochs_with_an_evaluation_only(command):
    done = command("train", *TINY, "epochs=4", "trainer.check_val_every_n_epoch=2", "neuron=dalif")
    assert done.code == 0, done.err
    epochs: dict[str, set[str]] = {}
    for row in read_csv(done.folder / "layers.csv"):
        epochs.setdefault(row["quantity"], set()).add(row["epoch"])
    assert epochs == {"firing_rate": {"1", "3"}, "alpha": set("0123"), "beta": set("0123")}
    rates = [row["test/firing_rate"] != "" for row in read_csv(done.folder / "metrics.csv")]
    assert rates == [False, True, False, True]
    assert checkpoint(done.folder, "best")["epoch"] in (1, 3)
