"""Steps replayed as a CUDA graph are the steps of the network; without a GPU, by what stands in for a recording."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snnbench.neurons import LIF, PLIF
from snnbench.training import replay
from tests.training.replay_cases import BATCH, DEVICE, Network, Recorder, batch, made, same, step

pytestmark = pytest.mark.usefixtures("recorder")


def trained(network: nn.Module, run: Callable[[Tensor], Tensor], change: Callable[[int], None]) -> list[Tensor]:
    """The logits of three epochs, whose last batches are smaller, and what they leave of the network."""
    logits = []
    for epoch in range(3):
        change(epoch)
        if isinstance(run, replay.Replay):
            run.renew()
        logits += [step(network, run, 10 * epoch + number, BATCH if number < 3 else 2) for number in range(4)]
    return logits + [value.float() for value in network.state_dict().values()]


def both(neuron: Callable[[], nn.Module], change: Callable[[Network, int], None]) -> tuple[Any, Any, replay.Replay]:
    plain, network = made(neuron), made(neuron)
    replayed = replay.Replay(network)
    own = trained(plain, plain, partial(change, plain))
    return own, trained(network, replayed, partial(change, network)), replayed


def test_training_by_replays_is_training(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "snnbench"):
        own, found, replayed = both(PLIF, lambda network, epoch: None)
    assert same(own, found)
    assert replayed.obstacle == ""
    assert recorder.recordings == 1
    assert recorder.replays == 9 + 3, "each whole batch, and a comparison an epoch"
    lines = [record.getMessage() for record in caplog.records if "cuda_graph" in record.getMessage()]
    assert lines == ["cuda_graph: steps are replayed, as compared with the network itself"]


CHANGES: dict[str, Callable[[Network, int], Any]] = {
    "attribute": lambda network, epoch: setattr(network.neuron, "tau", 2.0 + epoch),
    "threshold": lambda network, epoch: setattr(network.neuron, "v_th", 1.0 + epoch / 2),
    "dropout": lambda network, epoch: setattr(network.dropout, "p", 0.1 + epoch / 4),
    "momentum of statistics": lambda network, epoch: setattr(network.norm, "momentum", 0.1 + epoch / 4),
    "surrogate": lambda network, epoch: setattr(
        network.neuron, "spike", LIF(surrogate=["atan", "tanh", "triangle"][epoch]).spike
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_changes_between_epochs_is_recorded_anew(case: str, recorder: Recorder) -> None:
    own, found, replayed = both(LIF, CHANGES[case])
    assert same(own, found)
    assert replayed.obstacle == ""
    assert recorder.recordings == 3


def test_tensors_that_move_are_recorded_anew_at_once(recorder: Recorder) -> None:
    plain, network = made(), made()
    replayed = replay.Replay(network)
    for number in range(4):
        if number == 2:
            network.first.weight.data = network.first.weight.data.clone()
        assert torch.equal(step(plain, plain, number), step(network, replayed, number))
    assert recorder.recordings == 2
    network.norm = copy.deepcopy(network.norm)
    replayed.renew()
    plain_norm = plain.norm.state_dict()
    assert torch.equal(step(plain, plain, 5), step(network, replayed, 5))
    assert recorder.recordings == 3
    assert same(list(plain_norm.values()), list(network.norm.state_dict().values()))


def test_a_comparison_leaves_no_trace() -> None:
    plain, network = made(), made()
    replayed = replay.Replay(network)
    outcomes = []
    for run in (plain, replayed):
        torch.manual_seed(1)
        outcomes.append([run(batch()).detach().clone(), torch.rand(3, device=DEVICE)])
    assert same(*outcomes)
    assert same(list(plain.state_dict().values()), list(network.state_dict().values()))
    assert int(network.norm.num_batches_tracked) == 1
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_copy_records_its_own(recorder: Recorder) -> None:
    network = made()
    replayed = replay.Replay(network)
    step(network, replayed, 0)
    other, run = copy.deepcopy((network, replayed))
    assert torch.equal(step(network, replayed, 1), step(other, run, 1))
    assert recorder.recordings == 2
    assert not torch.equal(step(network, replayed, 2), step(other, run, 3))


def test_evaluation_is_not_replayed(recorder: Recorder) -> None:
    network = made()
    replayed = replay.Replay(network)
    step(network, replayed, 0)
    replays = recorder.replays
    with torch.no_grad():
        assert torch.isfinite(replayed(batch())).all()
    network.eval()
    assert torch.equal(replayed(batch()), network(batch()))
    assert recorder.replays == replays


def test_a_network_that_is_dead_is_left_to_the_guard(recorder: Recorder) -> None:
    network = made()
    with torch.no_grad():
        network.second.weight.fill_(float("nan"))
    replayed = replay.Replay(network)
    assert not torch.isfinite(step(network, replayed, 0)).all()
    assert replayed.obstacle == ""


@pytest.mark.parametrize("name", ["first", "second"])
@pytest.mark.parametrize("between", [True, False])
def test_what_is_learned_may_change(name: str, between: bool) -> None:
    def change(network: Network, number: int) -> None:
        getattr(network, name).requires_grad_(number % 2 == 1)

    plain, network = made(), made()
    replayed = replay.Replay(network)
    for number in range(4):
        if between:
            replayed.renew()
        for one in (plain, network):
            change(one, number)
        assert torch.equal(step(plain, plain, number), step(network, replayed, number))
        for a, b in zip(plain.parameters(), network.parameters(), strict=True):
            assert (a.grad is None) == (b.grad is None)
            assert a.grad is None or torch.equal(a.grad, b.grad)
    assert replayed.obstacle == ""
