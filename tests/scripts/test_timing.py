"""How GPU times are taken: with a device made up here, whose clock only its work moves."""

import sys
import types

import pytest
import torch

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import timing


@pytest.fixture
def device(monkeypatch):
    """A device: `work(seconds)` is a step; `waits` counts how often the host waited for it, `runs` steps by name."""
    state = types.SimpleNamespace(clock=0.0, waits=0, runs=[])

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.at = state.clock

        def elapsed_time(self, other):
            return (other.at - self.at) * 1e3

    def work(name, seconds):
        def step():
            state.runs.append(name)
            state.clock += seconds

        return step

    def wait():
        state.waits += 1

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", wait)
    state.work = work
    return state


def test_a_lap_of_short_steps_is_long_enough_and_each_call_gets_its_part(device):
    times = timing.interleaved({"short": device.work("s", 3e-4), "long": device.work("l", 0.01)}, "cuda", 0.5)
    assert {name: pytest.approx(found, rel=1e-6) for name, found in times.items()} == {
        "short": [3e-4] * len(times["short"]), "long": [0.01] * len(times["long"])
    }  # fmt: skip
    assert len(times["short"]) == len(times["long"]) == pytest.approx(0.5 / 0.0121, abs=1)
    lap = ["s"] * 7 + ["l"]
    assert device.runs[-2 * len(lap) :] == lap * 2  # in turn


def test_the_host_does_not_wait_while_it_is_timed(device):
    steps = {"one": device.work("1", 0.002), "two": device.work("2", 0.002)}
    few = timing.interleaved(steps, "cuda", 0.01)
    waited = device.waits
    many = timing.interleaved(steps, "cuda", 1.0)
    assert len(few["one"]) == 7
    assert len(many["one"]) == 250
    assert device.waits == 2 * waited  # the same for seven rounds and for hundreds


def test_on_a_cpu_the_steps_take_turns():
    order = []
    times = timing.interleaved({name: lambda name=name: order.append(name) for name in "ab"}, "cpu", 0.0)
    assert order == ["a", "b"] * (2 + 7)
    assert all(len(found) == 7 for found in times.values())


def test_a_step_that_cannot_be_captured_is_named_and_the_others_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)

    def captured(step):
        step()
        return step

    monkeypatch.setattr(timing, "captured", captured)
    graphs, why = timing.replays({"good": lambda: 1, "bad": lambda: 1 / 0})
    assert list(graphs) == ["good"]
    assert why["bad"].startswith("ZeroDivisionError")
