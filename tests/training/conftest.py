"""What records a training step, counted."""

from __future__ import annotations

import gc

import pytest

from snnbench.training import replay
from tests.training.replay_cases import DEVICE, Recorder


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(replay, "DEVICE", DEVICE)
    monkeypatch.setattr(replay, "record", recorder)
    if DEVICE == "cpu":
        monkeypatch.setattr(gc, "collect", lambda: 0)  # takes seconds among all that tests leave
    return recorder
