"""A sweep checks all its jobs first, runs them all, stops at Ctrl-C, and run again does only what is missing."""

import json
import os
import signal

import pytest

from tests.conftest import TINY
from tests.e2e.test_resume import start, wait_for_epochs

SHORT = (*TINY, "epochs=1", "threads=1")


def results(folders):
    return [json.loads((folder / "result.json").read_text()) for folder in folders]


def table(out: str) -> list[str]:
    """The rows of the last table."""
    return [line for line in out[out.rindex("sweep: ") :].splitlines() if line.startswith("│")]


def test_a_sweep_ends_with_a_table_and_is_not_repeated(command):
    words = ("-m", *SHORT, "neuron=lif,dalif", "seed=0")
    first = command("train", *words)
    assert first.code == 0, first.err
    assert len(first.folders) == 2
    rows = table(first.out)
    assert len(rows) == 2
    for folder, result in zip(first.folders, results(first.folders), strict=True):
        (row,) = (row for row in rows if f"neuron={result['neuron']}" in row)
        assert "finished" in row
        assert folder.name in row
        assert f"{result['accuracy']['last_epoch']:.2f}" in row
        assert "epochs" not in row

    files = {folder: (folder / "result.json").stat().st_mtime_ns for folder in first.folders}
    more = command("train", *words[:-1], "seed=0,1")
    assert more.code == 0, more.err
    assert len(more.folders) == 4
    assert more.err.count("skipped, finished already") == 2
    assert sum("finished, skipped" in row for row in table(more.out)) == 2
    assert {folder: (folder / "result.json").stat().st_mtime_ns for folder in files} == files


def test_a_killed_job_is_resumed_and_a_failed_one_starts_anew(command):
    words = ("-m", *TINY, "threads=1", "seed=0,1,2")
    first = command("train", *words)
    before = [(folder / "metrics.csv").read_text() for folder in first.folders]
    for folder, status in zip(first.folders, ("running", "failed", "interrupted"), strict=True):
        path = folder / "result.json"
        path.write_text(path.read_text().replace('"finished"', f'"{status}"'))
    again = command("train", *words)
    assert again.code == 0, again.err
    assert len(again.folders) == 4
    killed, failed, interrupted, anew = sorted(again.folders, key=lambda folder: folder not in first.folders)
    assert [result["status"] for result in results((killed, failed, interrupted, anew))] == [
        "finished", "failed", "finished", "finished",
    ]  # fmt: skip
    assert [(folder / "metrics.csv").read_text() for folder in (killed, anew, interrupted)] == before


def test_a_job_that_fails_does_not_stop_the_others(command):
    done = command("train", "-m", *SHORT, "optimizer.lr=1e30,0.01", "optimizer=sgd", "data.limit=256", "batch_size=32")
    assert done.code == 1, done.err
    assert sorted(result["status"] for result in results(done.folders)) == ["failed", "finished"]
    assert [("failed" in row, "finished" in row) for row in table(done.out)] == [(True, False), (False, True)]


def test_data_that_is_missing_is_asked_for_before_the_first_job(command):
    words = [*SHORT, "backbone.num_classes=10", "data=digits,mnist,nmnist", "seed=0,1"]
    done = command("train", "-m", *words)
    assert done.code == 2, done.err
    assert done.folders == []
    assert done.err.count("no data in") == 2
    assert done.err.endswith("(no job was started)\n")
    planned = command("train", "-m", "--plan", *words)
    assert planned.code == 0, planned.err
    assert planned.err.count("not here yet: ") == 2
    assert planned.out.count("start:") == 6


def test_an_unexpected_error_is_one_line_and_its_traceback_is_kept(command, monkeypatch):
    from snnbench.training.record import Record

    def broken(self, module, history):
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(Record, "finish", broken)
    done = command("train", *SHORT)
    assert done.code == 1
    assert done.result()["status"] == "failed"
    assert "Traceback" not in done.err
    assert "error: ZeroDivisionError: on purpose" in done.err
    assert "Traceback" in (done.folder / "train.log").read_text()


@pytest.mark.parametrize(
    ("sweep", "needle"),
    [
        ("neuron.v_th=1,-1", "neuron.v_th=-1"),
        ("optimizer.lr=0.1,-0.1", "optimizer"),
        ("optimizer.decay=[all],[weights]", "optimizer.decay"),
        ("backbone=convnet,resnet20", "image_size"),
        ("trainer.precision=32-true,half", "trainer.precision=half"),
        ("schedule._target_=builtins.int,builtins.complex", "schedule"),
    ],
)
def test_what_cannot_be_built_stops_the_sweep_before_it_starts(command, sweep, needle):
    done = command("train", "-m", "T=2", "epochs=1", "data.limit=128", sweep)
    assert done.code == 2, done.err
    assert done.err.startswith("error: ")
    assert needle in done.err
    assert "no job was started" in done.err
    assert len(done.err.strip().splitlines()) <= 2
    assert done.folders == []


def test_ctrl_c_stops_the_whole_sweep(tmp_path):
    process = start(tmp_path, "-m", *TINY, "epochs=200", "threads=1", "seed=0,1,2")
    wait_for_epochs(tmp_path, 1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err.decode()
    assert "Traceback" not in err.decode()
    assert "finished jobs are skipped" in err.decode()
    (path,) = tmp_path.glob("*/*/result.json")
    assert json.loads(path.read_text())["status"] == "interrupted"


def test_ctrl_c_before_training_leaves_nothing(command, monkeypatch):
    from snnbench.training import build

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    for name in ("build_data", "build_trainer"):
        with monkeypatch.context() as patch:
            patch.setattr(build, name, interrupt)
            done = command("train", *SHORT)
        assert (done.code, done.err.strip(), done.folders) == (130, "interrupted.", [])
        assert list(done.outputs.glob("*/*")) == []


@pytest.mark.slow
def test_parallel_jobs_share_the_cores(tmp_path):
    words = ("-m", *TINY, "epochs=1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=0,1")
    _, err = (process := start(tmp_path, *words, threads=None)).communicate(timeout=250)
    assert process.returncode == 0, err.decode()
    found = [json.loads(path.read_text()) for path in tmp_path.glob("*/*/result.json")]
    assert [result["status"] for result in found] == ["finished", "finished"]
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    first, second = (result["environment"]["threads"] for result in found)
    assert 1 <= first == second <= share  # less where others are at work
    for path in tmp_path.glob("*/*/train.log"):
        assert "shared by 2 jobs" in path.read_text()
