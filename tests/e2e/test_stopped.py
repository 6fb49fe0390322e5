"""What stopped a run from outside does not cost it: SLURM's signals, full disks, kills at any write."""

import errno
import fcntl
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from hydra.core.plugins import Plugins

from snnbench import files, status
from snnbench.holds import hold
from snnbench.training.progress import Progress
from snnbench.training.record import Record
from tests.conftest import ROOT, TINY, read_csv

WORDS = (*TINY, "epochs=3", "threads=1", "data.num_workers=0", "engine=reference")


def starts(folder: Path) -> int:
    return len((folder / "environment.jsonl").read_text().splitlines())


def at_epoch(epoch, act):
    """A `Progress.on_train_batch_end` that acts at the first batch of the epoch, counted from 0."""

    def hook(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == epoch and batch_idx == 0:
            act()

    return hook


def raising(error):
    def act():
        raise error

    return act


# SLURM


@pytest.fixture
def job(monkeypatch, tmp_path):
    """Within SLURM's job 77, whose `scontrol` writes down what it is told; the words of each call."""
    log, folder = tmp_path / "scontrol.log", tmp_path / "bin"
    folder.mkdir()
    for name, text in (("scontrol", f'echo "$@" >> {log}'), ("srun", "true")):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for key, value in {"JOB_ID": "77", "NTASKS": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{key}", value)
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "1")
    return lambda: log.read_text().splitlines() if log.exists() else []


def stopped_by(number, command, monkeypatch, *words, epoch=1):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_train_batch_end", at_epoch(epoch, lambda: os.kill(os.getpid(), number)))
        done = command("train", *words, *WORDS)
    signal.signal(signal.SIGINT, before)
    return done


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_slurm_stops_a_run_which_comes_back_and_goes_on(command, monkeypatch, job, number, tmp_path):
    monkeypatch.chdir(ROOT)
    done = stopped_by(number, command, monkeypatch)
    assert done.code == 130, done.err
    assert done.result()["status"] == "interrupted"
    assert (done.result()["cause"], number.name in done.result()["error"]) == ("machine", True)
    assert job() == ["requeue 77"]
    assert list(ROOT.glob("hpc_ckpt*")) + list(done.outputs.rglob("hpc_ckpt*")) == []
    folder = done.folder
    again = command("train", *WORDS)
    assert (again.code, again.folders) == (0, [folder]), again.err
    assert (again.result()["status"], again.result()["epochs"]["run"], starts(folder)) == ("finished", 3, 2)
    monkeypatch.delenv("SLURM_JOB_ID")
    expected = command("train", *WORDS, f"paths.output_dir={tmp_path / 'expected'}")
    assert expected.code == 0
    assert (tmp_path / "expected" / "metrics.csv").read_text() == (folder / "metrics.csv").read_text()


def test_another_command_another_job_and_a_finished_run_begin_anew(command, monkeypatch, job):
    first = stopped_by(signal.SIGUSR1, command, monkeypatch).folder
    assert command("train", *WORDS, "seed=1").code == 0
    monkeypatch.setenv("SLURM_JOB_ID", "78")
    done = command("train", *WORDS)
    assert (done.code, len(done.folders)) == (0, 3)
    assert json.loads((first / "result.json").read_text())["status"] == "interrupted"
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    again = command("train", *WORDS)
    assert (again.code, len(again.folders)) == (0, 3)
    assert "finished already" in again.err
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    assert len(command("train", *WORDS).folders) == 4


def test_ctrl_c_is_no_reason_to_come_back(command, monkeypatch, job):
    done = stopped_by(signal.SIGINT, command, monkeypatch)
    assert (done.code, job(), done.result()["cause"]) == (130, [], "user")
    assert len(command("train", *WORDS).folders) == 2


def test_a_cancelled_job_and_one_without_scontrol_only_say_how_to_go_on(command, monkeypatch, job, tmp_path):
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\necho CANCELLED\n")
    (tmp_path / "bin" / "squeue").chmod(0o755)
    done = stopped_by(signal.SIGTERM, command, monkeypatch)
    assert (done.code, job()) == (130, [])
    assert f"resume={done.folder}" in done.err or f"resume={os.path.relpath(done.folder)}" in done.err
    for name in ("scontrol", "squeue"):
        (tmp_path / "bin" / name).unlink()
    assert stopped_by(signal.SIGTERM, command, monkeypatch, "seed=3").code == 130


def test_a_checkpoint_of_lightnings_in_the_working_directory_is_not_loaded(command, monkeypatch, job, tmp_path):
    monkeypatch.chdir(tmp_path)
    torch.save({"epoch": 5, "state_dict": {}}, tmp_path / "hpc_ckpt_1.ckpt")
    done = command("train", *WORDS)
    assert done.code == 0, done.err
    assert done.result()["epochs"] == {"planned": 3, "run": 3}
    assert command("eval", f"run={done.folder}").code == 0


def test_a_sweep_is_requeued_once_and_goes_on(command, monkeypatch, job):
    done = stopped_by(signal.SIGUSR1, command, monkeypatch, "-m", "seed=0,1")
    assert (done.code, len(done.folders), job()) == (130, 1, ["requeue 77"])
    again = command("train", "-m", *WORDS, "seed=0,1")
    assert (again.code, len(again.folders)) == (0, 2), again.err
    assert starts(done.folders[0]) == 2


def full_disk(monkeypatch, command, *words):
    """Of a run whose second checkpoint does not fit on the disk."""
    replacing = files.replacing

    def write(path):
        if path.suffix == ".ckpt" and (path.parent / "last.ckpt").exists():
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return replacing(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, "replacing", write)
        return command("train", *words, *WORDS)


def test_after_a_full_disk_a_sweep_goes_on_at_the_checkpoint(command, monkeypatch):
    done = full_disk(monkeypatch, command, "-m", "seed=0,1")
    assert done.code == 1, done.err
    assert done.err.count("No space left on device") >= 2
    assert "nothing was trained" not in done.err
    assert "Finished epochs are kept" in done.err
    results = [json.loads((folder / "result.json").read_text()) for folder in done.folders]
    assert [(result["status"], result["cause"]) for result in results] == [("failed", "machine")] * 2
    resumed = []
    monkeypatch.setattr(Record, "start", lambda self, start=Record.start: (resumed.append(self.folder), start(self)))
    again = command("train", "-m", *WORDS, "seed=0,1")
    assert (again.code, again.folders, resumed) == (0, done.folders, done.folders), again.err
    for folder in again.folders:
        assert [row["epoch"] for row in read_csv(folder / "metrics.csv")] == ["0", "1", "2"]
        assert starts(folder) == 2
    assert "going on in" in again.err


def test_a_full_disk_ends_a_single_run_as_a_failed_one(command, monkeypatch):
    done = full_disk(monkeypatch, command)
    assert done.code == 1
    assert "Finished epochs are kept. Go on with: python train.py resume=" in done.err
    assert command("train", f"resume={done.folder}").code == 0


def test_what_failed_by_itself_is_left_until_it_is_asked_for(command, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_train_batch_end", at_epoch(1, raising(ZeroDivisionError("on purpose"))))
        first = command("train", "-m", *WORDS, "seed=0,1")
    assert (first.code, len(first.folders)) == (1, 2)
    again = command("train", "-m", *WORDS, "seed=0,1")
    assert (again.code, again.folders) == (1, first.folders)
    assert again.err.count("ZeroDivisionError: on purpose), and would do so again (retry=failed to try)") == 2
    asked = command("train", "-m", *WORDS, "retry=failed", "seed=0,1")
    assert (asked.code, len(asked.folders)) == (0, 4)
    assert command("train", "-m", *WORDS, "seed=0,1").err.count("finished already") == 2
    assert all("retry: null" in (folder / "config.yaml").read_text() for folder in asked.folders)
    for words in (("-m", "retry=all", "seed=0,1"), ("retry=failed",)):
        refused = command("train", *words, *WORDS)
        assert refused.code == 2
        assert "retry=" in refused.err


def test_an_early_mistake_in_the_input_is_still_one(command):
    done = command(
        "train", *WORDS, "batch_size=15", "trainer.devices=2", "trainer.accelerator=cpu", "trainer.strategy=x"
    )
    assert done.code == 2


# killed at any write


def test_a_run_killed_before_its_result_is_begun_in_its_folder(command, monkeypatch):
    run = command("train", *WORDS)
    expected = (run.folder / "metrics.csv").read_text()
    for path in [path for path in run.folder.iterdir() if path.name != "config.yaml"]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert command("eval", f"run={run.folder}").code == 2
    done = command("train", f"resume={run.folder}")
    assert (done.code, done.folders) == (0, [run.folder]), done.err
    assert (run.folder / "metrics.csv").read_text() == expected


def test_a_job_killed_before_its_result_is_begun_in_its_folder(command, monkeypatch):
    def killed(self):
        patch.setattr(shutil, "rmtree", lambda *args, **options: None)  # nothing is tidied up
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(Record, "__init__", lambda self, *args: killed(self))
        assert command("train", "-m", *WORDS, "seed=0").code == 1
    (folder,) = (path.parent for path in command("train", "-m", "--plan", "T=2").outputs.glob("*/*/config.yaml"))
    assert not (folder / "result.json").exists()
    done = command("train", "-m", *WORDS, "seed=0")
    assert (done.code, done.folders) == (0, [folder]), done.err


def test_an_empty_folder_says_what_to_do(command, tmp_path):
    folder = tmp_path / "outputs" / "x" / "20260101-000000-s0"
    folder.mkdir(parents=True)
    (folder / ".config.yaml.abc").write_text("T: 2")
    done = command("train", f"resume={folder}")
    assert done.code == 2
    assert "killed before it had written anything" in done.err
    assert "Delete the folder and give the run's command again" in done.err


# file systems


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_flock_everything_runs(command, monkeypatch, number):
    def flock(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    done = stopped_by(signal.SIGTERM, command, monkeypatch)
    assert done.code == 130, done.err
    with hold(done.folder / ".lock"):
        refused = command("train", f"resume={done.folder}")
    assert refused.code == 2
    assert f"still going on in another process (process {os.getpid()} on " in refused.err
    assert command("train", f"resume={done.folder}").code == 0
    assert command("train", "-m", *WORDS, "seed=0,1").code == 0


def test_a_read_only_run_is_evaluated_and_its_result_shown(command, monkeypatch):
    run = command("train", *WORDS)

    def write(path):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(files, "replacing", write)
    done = command("eval", f"run={run.folder}")
    assert done.code == 0, done.err
    assert "is exactly the recorded one" in done.out
    assert "this is not stored: cannot write" in done.err


# status


@pytest.fixture
def launcher():
    """The class of Hydra's launcher, which its plugin manager has loaded for itself."""
    return Plugins.instance().class_name_to_class["hydra._internal.core_plugins.basic_launcher.BasicLauncher"]


def test_jobs_tell_their_end_from_wherever_they_run(command, monkeypatch, tmp_path, launcher):
    launch = launcher.launch

    def elsewhere(self, job_overrides, initial_job_idx):
        """On a node with an environment, and a /tmp, of its own."""
        with monkeypatch.context() as patch:
            patch.delenv(status.FOLDER)
            patch.setenv("TMPDIR", str(tmp_path / "of_the_node"))
            return launch(self, job_overrides, initial_job_idx)

    monkeypatch.setattr(launcher, "launch", elsewhere)
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_train_batch_end", at_epoch(1, raising(ZeroDivisionError("there"))))
        done = command("train", "-m", *WORDS, "seed=0,1")
    assert done.code == 1, done.err
    assert [line.count("failed") for line in done.out.splitlines() if "│" in line] == [1, 1]


@pytest.mark.parametrize("raises", [True, False])
def test_jobs_that_a_launcher_lost_are_no_success(command, monkeypatch, launcher, raises):
    def lost(self, job_overrides, initial_job_idx):
        if raises:
            raise RuntimeError("node 7 is down")
        return []

    monkeypatch.setattr(launcher, "launch", lost)
    done = command("train", "-m", *WORDS, "seed=0,1")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert done.out.count("not started") == 2
    assert list((done.outputs / ".sweeps").glob("status-*")) == []
