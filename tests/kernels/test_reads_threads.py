"""A step that other threads run, too, while it is followed; Python 3.13 then may stop reporting what it does."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from reading import compare
from torch import Tensor

from snnbench.neurons import LIF


class Long(LIF):
    def step(self, x: Tensor, state: Any, c: Any, spike: Any) -> Any:
        gain = 1.0
        for _ in range(50):
            gain = gain * 1.0
        return super().step(x * gain * self.gain, state, c, spike)


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns every few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_what_other_threads_run_hides_no_read(hasty: None) -> None:
    neuron, other, done = Long(tau=2.28125), Long(engine="reference"), threading.Event()
    neuron.gain = other.gain = 1.0
    x, frame = 2 * torch.randn(3, 2, 4), torch.zeros(2, 4)

    def run() -> None:
        while not done.is_set():
            other.step(frame, {"v": frame}, {}, other.spike)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for gain in range(1, 4):
            neuron.gain = float(gain)
            compare(neuron, x)
    finally:
        done.set()
        thread.join()
