"""Threads and memory of a command: what it takes by itself, on a machine that others use."""

import json
import os
import statistics
import subprocess
import sys
import time

import pytest
import torch

from snnbench import cores, threads
from snnbench.runs.result import read_result, write_result
from tests.conftest import ROOT, TINY


def train(outputs, *words, **environ):
    """`python train.py` in a process of its own; its result and what it wrote to stderr."""
    env = {key: value for key, value in os.environ.items() if key not in (threads.USERS, threads.TOLD)}
    env |= {"SNNBENCH_OUTPUTS": str(outputs), **environ}
    done = subprocess.run([sys.executable, "train.py", *words], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = outputs.glob("*/*/result.json")
    return json.loads(path.read_text()), done.stderr


def test_the_choice_is_said_in_one_line_and_recorded(tmp_path, command, monkeypatch):
    monkeypatch.delenv(threads.USERS, raising=False)
    done = command("train", *TINY, "epochs=1")
    count = done.result()["environment"]["threads"]
    (line,) = (line for line in done.err.splitlines() if " thread" in line)
    assert line.startswith(f"{count} thread")
    assert line in (done.folder / "train.log").read_text()
    assert threads.USERS not in os.environ
    assert threads.TOLD not in os.environ


def test_what_was_given_is_taken_and_not_said(command, monkeypatch):
    monkeypatch.setenv(threads.USERS, "2")
    done = command("train", *TINY, "epochs=1", "tags=[environment]")
    assert done.result()["environment"]["threads"] == 2
    assert " thread" not in done.err
    done = command("train", *TINY, "epochs=1", "threads=1", "tags=[config]")
    counts = [result_of(folder)["environment"]["threads"] for folder in done.folders]
    assert sorted(counts) == [1, 2]
    assert os.environ[threads.USERS] == "2"


def test_the_jobs_of_a_sweep_take_what_it_found_once(command, monkeypatch):
    monkeypatch.delenv(threads.USERS, raising=False)
    found = iter([threads.Choice(3, "made up")])
    monkeypatch.setattr(threads, "choose", lambda *args: next(found))
    done = command("train", "-m", *TINY, "epochs=1", "seed=0,1")
    assert done.code == 0, done.err
    assert [result_of(folder)["environment"]["threads"] for folder in done.folders] == [3, 3]


def test_a_resumed_run_and_its_evaluation_take_the_runs_own_number(command, monkeypatch, tmp_path):
    """PyTorch's sums over a batch depend on it."""
    monkeypatch.delenv(threads.USERS, raising=False)
    cores_ = cores.Usable(frozenset(range(4)), 4)
    monkeypatch.setattr(cores, "usable", lambda *args: cores_)
    monkeypatch.setattr(threads, "choose", lambda *args: threads.Choice(2, "made up"))
    folder = command("train", *TINY).folder
    monkeypatch.setattr(threads, "choose", lambda *args: threads.Choice(4, "made up, later"))
    assert command("eval", f"run={folder}").code == 0
    assert torch.get_num_threads() == 2
    write_result(folder, {**read_result(folder), "status": "interrupted"})
    (folder / "checkpoints" / "last.ckpt").unlink()
    assert command("train", f"resume={folder}").code == 0
    assert result_of(folder)["environment"]["threads"] == 2


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.fixture
def load():
    """As many processes that only compute as there are cores."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    time.sleep(1)
    yield
    for loop in loops:
        loop.kill()
        loop.wait()


@pytest.mark.slow
@pytest.mark.timeout(1200)  # six runs on a machine that has other things to do
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux")
def test_under_load_a_run_is_not_much_slower_than_on_one_thread(tmp_path, load):
    words = ("epochs=3", "logger=none", "T=2")
    speeds: dict[str, list[float]] = {"null": [], "1": []}
    for number in range(3):
        for count, found in speeds.items():
            result, _ = train(tmp_path / f"{count}-{number}", *words, f"threads={count}")
            found.append(result["samples_per_second"])
    chosen, one = (statistics.median(found) for found in speeds.values())
    assert chosen > one / 1.3
