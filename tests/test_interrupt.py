"""SIGTERM as an interruption, and what else an interruption can look like."""

import os
import signal
import threading
import time

import pytest

from scripts import sweep
from snnbench.interrupt import sigterm_interrupts, was_interrupted


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)


def test_the_first_sigterm_interrupts_and_the_next_ones_do_not_disturb_what_follows():
    before = signal.getsignal(signal.SIGTERM)
    reached = []
    with sigterm_interrupts():
        with pytest.raises(KeyboardInterrupt):
            terminate()
        terminate()
        reached.append("recorded")
    assert reached == ["recorded"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_breaks_on_top_of_an_interruption_is_one():
    def chain(first: BaseException) -> BaseException:
        try:
            try:
                raise first
            finally:
                raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Terminated.")
        except RuntimeError as error:
            return error

    assert was_interrupted(KeyboardInterrupt())
    assert was_interrupted(SystemExit(1))  # what Lightning makes of it
    assert was_interrupted(chain(KeyboardInterrupt()))
    assert not was_interrupted(chain(ValueError()))
    assert not was_interrupted(RuntimeError())


def test_a_sweep_tells_its_job_of_a_sigterm_and_waits_for_it(tmp_path, monkeypatch):
    ready, ended = tmp_path / "ready", tmp_path / "ended"
    job = tmp_path / "job.py"
    job.write_text(
        "import pathlib, signal, sys, time\n"
        "def end(number, frame):\n"
        "    time.sleep(0.1)\n"
        f"    pathlib.Path({str(ended)!r}).touch()\n"
        "    sys.exit(130)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(30)\n"
    )

    def send() -> None:
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(sweep, "TRAIN", job)
    thread = threading.Thread(target=send)
    thread.start()
    assert sweep.start([]) == 130
    thread.join()
    assert ended.exists()
