"""SIGTERM as an interruption, and what else an interruption can look like."""

import os
import signal
import time

import pytest

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
