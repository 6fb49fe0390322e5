"""Which number of threads is taken: the user's before the run's own before what is free; and how threads wait."""

import json
import platform
import subprocess
import sys

import pytest

from snnbench import cores, processes, threads
from snnbench.threads import Choice
from tests.conftest import ROOT


class Others:
    """A watch that saw others keep so many of the cores busy."""

    def __init__(self, number=8, busy=0.0, quota=None, whole=None):
        self.usable = cores.Usable(frozenset(range(number)), whole or number, quota)
        self.busy = busy

    def others(self):
        return self.busy


@pytest.mark.parametrize(
    ("watch", "count", "words"),
    [
        (Others(8), 8, "8 cores are free"),
        (Others(8, 3.0), 5, "others keep 3.0 of 8 cores busy"),
        (Others(8, 0.04), 8, "8 cores are free"),
        (Others(8, 0.0, quota=2.5), 2, "quota of 2.5"),
        (Others(8, 7.5, quota=2.5), 1, "others keep 7.5"),
        (Others(8, 0.0, whole=4), 4, "SMT"),
    ],
)
def test_what_is_free_is_taken_and_said(watch, count, words):
    choice = threads.choose({}, watch)
    assert (choice.count, choice.given) == (count, False)
    assert words in choice.why
    assert choice.describe().startswith(f"{count} thread{'s' if count > 1 else ''}: ")


@pytest.mark.parametrize(("text", "count"), [("3", 3), ("2,4", 2), ("64", 64)])
def test_omp_num_threads_is_the_users_word(text, count):
    assert threads.for_run(None, 2, 4, {threads.USERS: text}, Others(1, 1.0)) == Choice(
        count, f"{threads.USERS}={count}", True
    )


@pytest.mark.parametrize("text", ["", "0", "-1", "many"])
def test_what_is_no_number_is_no_word(text):
    assert threads.for_run(None, environ={threads.USERS: text}, watch=Others(4)).count == 4


def test_the_configs_number_comes_before_all():
    environ = {threads.USERS: "3"}
    threads.tell(Choice(2, "so", given=True), environ)
    assert threads.for_run(5, 2, 4, environ, Others(1)) == Choice(5, "threads=5", True)


def test_a_run_goes_on_with_the_number_that_it_began_with():
    assert threads.for_run(None, 2, environ={}, watch=Others(8, 7.0)).count == 2
    assert threads.for_run(None, 2, environ={}, watch=Others(8)).count == 2
    assert threads.for_run(None, 64, environ={}, watch=Others(8)).count == 8  # on a smaller machine


def test_processes_of_a_run_share_what_is_free():
    assert [threads.for_run(None, None, n, {}, Others(8, 1.0)).count for n in (1, 2, 3, 20)] == [7, 3, 2, 1]


def test_of_processes_started_together_none_takes_the_others_for_strangers():
    together = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    assert processes.launch(together) is not None
    assert threads.for_run(None, None, 2, together, Others(8, 7.0)).count == 4


def test_jobs_share_what_their_sweep_found_free():
    environ = {threads.USERS: "4"}  # as joblib sets it for its workers
    threads.tell(threads.choose({}, Others(8, 2.0)).shared(3, "jobs"), environ)
    choice = threads.for_run(None, environ=environ, watch=Others(8, 8.0))
    assert (choice.count, choice.given) == (2, False)
    assert "shared by 3 jobs" in choice.why
    assert threads.for_run(None, 1, environ=environ, watch=Others(8, 8.0)).count == 1  # one that is resumed
    assert threads.for_run(None, None, 2, environ, Others(8, 8.0)).count == 1  # one of two processes


def test_what_the_user_says_is_for_each_job():
    environ = {threads.USERS: "4"}
    threads.tell(threads.choose(environ).shared(3, "jobs"), environ)
    assert threads.for_run(None, 1, 2, environ, Others(8)) == Choice(4, f"{threads.USERS}=4", True)


def test_what_was_told_on_another_machine_is_not_for_this_one():
    environ = {}
    threads.tell(Choice(64, "a large machine"), environ)
    environ[threads.TOLD] = json.dumps({**json.loads(environ[threads.TOLD]), "machine": "elsewhere"})
    assert threads.for_run(None, environ=environ, watch=Others(4)).count == 4
    assert threads.for_run(None, environ={threads.TOLD: "{"}, watch=Others(4)).count == 4


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_a_user_who_says_how_threads_wait_is_left_alone(monkeypatch, name):
    monkeypatch.delitem(sys.modules, "torch")
    environ = {name: "as I say"}
    threads.prepare(environ)
    assert environ == {name: "as I say"}


def test_once_torch_is_loaded_nothing_is_said_to_it():
    environ = {}
    threads.prepare(environ)
    assert environ == {}


WITH_PAUSES = """
import os, sys
{}
import torch
torch.set_num_threads(2)
a = torch.ones(1 << 22)
for _ in range(3): a.add_(1)
import time
began = time.process_time(), time.perf_counter()
for _ in range(20):
    a[: 1 << 16].add_(1)
    time.sleep(0.02)
print((time.process_time() - began[0]) / (time.perf_counter() - began[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP")
def test_threads_that_wait_let_others_compute():
    """Between two pieces of parallel work, a second thread that spins costs as much as one that computes."""

    def share(before: str) -> float:
        environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
        words = [sys.executable, "-c", WITH_PAUSES.format(before)]
        done = subprocess.run(words, capture_output=True, text=True, env=environ, check=True)
        return float(done.stdout)

    assert share("from snnbench import threads; threads.prepare()") < 0.3


@pytest.mark.parametrize("text", ["2", "[]", "null", "{", '{"machine": "here"}', '{"machine": "%s", "much": 1}'])
def test_what_this_project_has_not_written_is_not_read(text):
    text = text % platform.node() if "%s" in text else text
    assert threads.for_run(None, environ={threads.TOLD: text}, watch=Others(2)).count >= 1
