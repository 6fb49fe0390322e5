"""Sweeps that run at once: each job is trained by one of them, and the others are told by whom."""

import contextlib
import json
import os
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from snnbench import claims, status, sweep
from snnbench.holds import hold
from tests.conftest import ROOT, TINY

WORDS = (*TINY, "epochs=1", "threads=1", "data.num_workers=0", "engine=reference")


def at_the_planning(monkeypatch, act):
    """Let something happen after the plan was made, and before the first job starts."""
    monkeypatch.setattr(sweep, "tell", lambda planned, tell=sweep.tell: (tell(planned), act())[0])


def test_a_job_that_another_sweep_trains_is_left_to_it(command, monkeypatch):
    other = command("train", *WORDS, "seed=1").folder
    result = other / "result.json"
    text = result.read_text().replace('"finished"', '"running"')
    with contextlib.ExitStack() as stack:

        def taken(config, name, place=claims._place):
            """Of seed 1, the claim is held before this sweep reaches for it."""
            found = place(config, name)
            if config["seed"] == 1:
                stack.enter_context(hold(found, folder=str(other)))
            return found

        monkeypatch.setattr(claims, "_place", taken)
        result.unlink()  # there is nothing yet when it is planned
        at_the_planning(monkeypatch, lambda: result.write_text(text))
        done = command("train", "-m", *WORDS, "seed=0,1,2")
        assert f"skipped, job 2 is being trained by process {os.getpid()} on " in done.err
        assert len(done.folders) == 3
        assert done.code == 1  # for nobody is at work in its folder any more: it was killed
        assert "killed, skipped" in done.out


def test_a_run_that_goes_on_elsewhere_is_no_failure(command):
    other = command("train", *WORDS, "seed=1").folder
    (other / "result.json").write_text((other / "result.json").read_text().replace('"finished"', '"running"'))
    with hold(other / ".lock"):
        done = command("train", "-m", *WORDS, "seed=0,1")
    assert done.code == 0, done.err
    assert "job 2 is being trained by another process" in done.err


def test_a_job_that_another_sweep_finished_meanwhile_is_not_repeated(command, monkeypatch):
    """Both planned it; the other one was faster."""
    inner = []

    def other():
        if not inner:
            inner.append(True)
            code = "import sys; from snnbench import cli; from snnbench.config import CONFIGS\n"
            code += "from snnbench.training.run import train\nsys.exit(cli.main(train, CONFIGS, 'train'))"
            words = [sys.executable, "-c", code, "-m", *WORDS, "seed=0,1"]
            environ = {key: value for key, value in os.environ.items() if key != status.FOLDER}
            done = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr

    at_the_planning(monkeypatch, other)
    done = command("train", "-m", *WORDS, "seed=0,1,2")
    assert (done.code, len(done.folders)) == (0, 3), done.err
    assert done.err.count("finished already") == 2


def test_equal_jobs_of_one_sweep_are_claimed_one_by_one(command):
    done = command("train", "-m", *WORDS, "seed=0,0,1")
    assert (done.code, len(done.folders)) == (0, 3), done.err
    again = command("train", "-m", *WORDS, "seed=0,0,1")
    assert (again.err.count("finished already"), again.folders) == (3, done.folders)
    assert len(list((done.outputs / ".sweeps" / "jobs").iterdir())) == 3


def test_jobs_of_other_sweepers_are_claimed_too(command, monkeypatch):
    monkeypatch.setattr(sweep, "overrides_of", lambda cfg: iter(()))  # as of one that makes them up as it goes
    done = command("train", "-m", *WORDS, "seed=0,0,1")
    assert (done.code, len(done.folders)) == (0, 3), done.err
    assert len(list((done.outputs / ".sweeps" / "jobs").iterdir())) == 3
    assert command("train", "-m", *WORDS, "seed=0,1").err.count("finished already") == 2


def test_outputs_that_cannot_be_written_to_are_named(command, tmp_path):
    (tmp_path / "file").write_text("")
    done = command("train", "-m", *WORDS, f"paths.outputs={tmp_path / 'file'}", "seed=0,1")
    assert done.code == 2
    assert f"paths.outputs={tmp_path / 'file'}: cannot be written to" in done.err


def trap(**options):
    """What a folder names, and nobody asked for."""
    raise AssertionError("this was executed")


def test_what_a_folder_names_is_not_executed(command, monkeypatch):
    from snnbench.training.progress import Progress
    from tests.e2e.test_stopped import at_epoch, raising

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_train_batch_end", at_epoch(1, raising(OSError(28, "No space left on device"))))
        done = command("train", "-m", *WORDS, "epochs=3", "seed=0")
    config = done.folder / "config.yaml"
    cfg = OmegaConf.load(config)
    cfg.logger = {"_target_": "tests.test_claims.trap"}
    OmegaConf.save(cfg, config)
    result = json.loads((done.folder / "result.json").read_text())
    result["code"]["os.system"] = "1"
    (done.folder / "result.json").write_text(json.dumps(result))
    again = command("train", "-m", *WORDS, "epochs=3", "seed=0")
    assert (again.code, again.folders) == (0, done.folders), again.err
    assert "tests.test_claims.trap" not in config.read_text()


@pytest.mark.slow
def test_three_sweeps_at_once_train_each_job_once(tmp_path):
    environ = {**os.environ, "SNNBENCH_OUTPUTS": str(tmp_path), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "train.py", "-m", *WORDS, "seed=range(0,6)"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    sweeps = [subprocess.Popen(words, cwd=ROOT, env=environ, **pipes) for _ in range(3)]
    said = [process.communicate(timeout=280)[1] for process in sweeps]
    assert [process.returncode for process in sweeps] == [0, 0, 0], said
    seeds = [json.loads(path.read_text())["seed"] for path in tmp_path.glob("*/*/result.json")]
    assert sorted(seeds) == list(range(6))
    assert any("is being trained by process" in err for err in said)


def test_a_folder_of_any_name_serves_a_sweep(command, monkeypatch, tmp_path):
    folder = tmp_path / "a=b, [c] ü 'd' {e}\\f"
    monkeypatch.setenv("SNNBENCH_OUTPUTS", str(folder))
    command("train", "-m", *WORDS, "seed=0")
    done = command("train", "-m", *WORDS, "seed=0,1")
    assert done.code == 0, done.err
    assert len(list(folder.glob("*/*/result.json"))) == 2
    assert sorted(path.name for path in (folder / ".sweeps").iterdir()) == ["jobs", "multirun.yaml"]
