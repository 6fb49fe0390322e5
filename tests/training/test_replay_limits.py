"""What no recording repeats is found, and runs as it does without."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snnbench.errors import UserError
from snnbench.training import replay
from tests.training.replay_cases import DEVICE, Network, Recorder, batch, made, step

pytestmark = pytest.mark.usefixtures("recorder")


@pytest.mark.parametrize("where", ["network", "inside"])
def test_hooks_run_or_nothing_is_replayed(where: str, recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    network, seen = made(), []
    module = network if where == "network" else network.neuron
    module.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    replayed = replay.Replay(network)
    for number in range(3):
        step(network, replayed, number)
    assert len(seen) == 3
    assert (replayed.obstacle == "") == (where == "network")
    if where == "inside":
        assert recorder.recordings == 0
        assert "neuron has hooks" in caplog.text
        assert len(caplog.records) == 1


class Counting(Network):
    """Computes with what no recording sees change."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        Counting.calls += 1
        return super().forward(x) * Counting.calls


def test_what_no_recording_repeats_runs_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    network = Counting().to(DEVICE)
    replayed = replay.Replay(network)
    with caplog.at_level("INFO", "snnbench"):
        step(network, replayed, 0)
    before = Counting.calls
    step(network, replayed, 1)
    assert Counting.calls == before + 1
    assert "differs from the network itself" in replayed.obstacle
    (line,) = [record.getMessage() for record in caplog.records if "cuda_graph" in record.getMessage()]
    assert "cuda_graph=false" in line


def test_a_recording_that_fails_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a capture that broke off, a GPU's state cannot be relied on."""

    def fails(whole: replay._Whole, x: Tensor) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nlong story")

    monkeypatch.setattr(replay, "record", fails)
    network = made()
    with pytest.raises(
        UserError, match=r"cannot be recorded \(RuntimeError: operation not.*capturing\). Take cuda_gra"
    ):
        step(network, replay.Replay(network), 0)


class Cases(Network):
    """What a replay would not be the same for."""

    case = ""

    def __init__(self, neuron: nn.Module | None = None) -> None:
        super().__init__(neuron)
        self.one, self.other = (nn.Parameter(torch.zeros(8)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        if self.case == "python" and random.random() < 0.1:
            x = x * 2
        if self.case == "numpy" and np.random.rand() < 0.1:
            x = x * 2
        if self.case == "shared":
            return self.second(self.neuron(self.first(x).expand(4, -1, -1) + (self.one + self.other)))
        if self.case == "twice":  # whose cast weight is cached
            for _ in range(6):
                x = torch.tanh(self.again(x))
        return super().forward(x)


@pytest.mark.parametrize(
    ("case", "reason"),
    [("python", "random numbers on the host"), ("numpy", "random numbers on the host"), ("shared", "one and other")],
)
def test_what_a_replay_would_hide_is_found(case: str, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(3)
    network = Cases().to(DEVICE)
    network.case = case
    replayed = replay.Replay(network)
    step(network, replayed, 0)
    assert reason in replayed.obstacle
    assert reason in caplog.text


def test_a_weight_that_autocast_casts_once_for_all_its_uses() -> None:
    """Its gradient is summed in another precision than a recording's, which casts it each time."""
    torch.manual_seed(3)
    network = Cases().to(DEVICE)
    network.case, network.again = "twice", nn.Linear(5, 5).to(DEVICE)
    replayed = replay.Replay(network)
    with torch.autocast(DEVICE, torch.bfloat16):
        replayed(batch())
    assert "differs from the network itself in" in replayed.obstacle
    alone = replay.Replay(network)
    alone(batch())
    assert alone.obstacle == ""


@pytest.mark.parametrize("values", [[float("inf"), 1.0], [1e9] * 1000], ids=["not finite", "large"])
def test_a_buffer_hides_no_other(values: list[float], recorder: Recorder) -> None:
    network = made()
    network.register_buffer("other", torch.tensor(values, device=DEVICE))
    replayed = replay.Replay(network)
    step(network, replayed, 0)
    network.norm.momentum = 0.9
    replayed.renew()
    step(network, replayed, 1)
    assert recorder.recordings == 2


def test_a_forward_of_ones_own_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    network = made()
    own = network.forward = lambda x: Network.forward(network, x) * 2
    replayed = replay.Replay(network)
    step(network, replayed, 0)
    assert network.forward is own
    assert "another forward" in caplog.text
