"""Steps replayed as a CUDA graph; without a GPU, by what stands in for a recording: the network as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import hydra
import lightning
import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from snnbench import config
from snnbench.errors import UserError
from snnbench.neurons import LIF, PLIF
from snnbench.training import build, distributed, replay
from snnbench.training.guard import NonFiniteGuard
from snnbench.training.module import SpikingClassifier
from snnbench.training.optim import ConstantSchedule

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH = 6


class Network(nn.Module):
    """What a recording has to get right: running statistics, dropout, a neuron's attributes, a parameter unused."""

    def __init__(self, neuron: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 8), nn.Linear(8, 3)
        self.norm, self.neuron = nn.BatchNorm1d(8), neuron or PLIF()
        self.dropout = nn.Dropout(0.3)
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x)).expand(4, -1, -1) * 3
        return self.second(self.dropout(self.neuron(x)))


class Recorder:
    """Records as CUDA does, where there is a GPU; else keeps a copy of the network, with its tensors."""

    def __init__(self) -> None:
        self.recordings = self.replays = 0

    def __call__(self, whole: replay._Whole, x: Tensor) -> Callable[[Tensor], Tensor]:
        self.recordings += 1
        kept = RECORD(whole, x) if DEVICE == "cuda" else as_it_was(whole)
        shape = x.shape

        def run(x: Tensor) -> Tensor:
            self.replays += 1
            assert x.shape == shape
            return kept(x)

        return run


RECORD = replay.record


def as_it_was(whole: nn.Module) -> nn.Module:
    tensors = [*whole.parameters(), *whole.buffers()]
    return copy.deepcopy(whole, {id(tensor): tensor for tensor in tensors})


@pytest.fixture(autouse=True)
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(replay, "DEVICE", DEVICE)
    monkeypatch.setattr(replay, "record", recorder)
    return recorder


def made(neuron: Callable[[], nn.Module] = PLIF) -> Network:
    torch.manual_seed(3)
    return Network(neuron()).to(DEVICE)


def composed(*words: str) -> DictConfig:
    config.register_schema()
    with hydra.initialize_config_dir(str(config.CONFIGS), version_base="1.3"):
        return hydra.compose("train", ["paths.output_dir=out", *words])


def batch(seed: int = 0, size: int = BATCH) -> Tensor:
    return torch.randn(size, 5, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def step(network: nn.Module, run: Callable[[Tensor], Tensor], seed: int, size: int = BATCH) -> Tensor:
    torch.manual_seed(seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    optimizer.zero_grad()
    logits = run(batch(seed, size))
    logits.square().sum().backward()
    optimizer.step()
    return logits.detach().clone()


def trained(network: nn.Module, run: Callable[[Tensor], Tensor], change: Callable[[int], None]) -> list[Tensor]:
    """The logits of three epochs, whose last batches are smaller, and what they leave of the network."""
    logits = []
    for epoch in range(3):
        change(epoch)
        if isinstance(run, replay.Replay):
            run.renew()
        logits += [step(network, run, 10 * epoch + number, BATCH if number < 3 else 2) for number in range(4)]
    return logits + [value.float() for value in network.state_dict().values()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


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
    network = made()
    before = [value.clone() for value in network.state_dict().values()]
    replayed = replay.Replay(network)
    torch.manual_seed(1)
    logits = replayed(batch())
    after = torch.rand(3, device=DEVICE)
    plain = made()
    torch.manual_seed(1)
    assert torch.equal(plain(batch()), logits)
    assert torch.equal(torch.rand(3, device=DEVICE), after)
    assert all(parameter.grad is None for parameter in network.parameters())
    found = dict(network.state_dict())
    assert int(found.pop("norm.num_batches_tracked")) == 1
    assert len(before) == len(found) + 1


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


def test_a_recording_that_fails(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(whole: replay._Whole, x: Tensor) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nlong story")

    monkeypatch.setattr(replay, "record", fails)
    plain, network = made(), made()
    replayed = replay.Replay(network)
    for number in range(3):
        assert torch.equal(step(plain, plain, number), step(network, replayed, number))
    assert replayed.obstacle == "RuntimeError: operation not permitted when stream is capturing"
    assert len(caplog.records) == 1


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


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_by_lightning(precision: str, recorder: Recorder) -> None:
    def fit(cuda_graph: bool) -> list[Tensor]:
        network = made()
        module = SpikingClassifier(
            network,
            lambda logits, labels: nn.functional.cross_entropy(logits.float().mean(0), labels),
            lambda network: torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9),
            ConstantSchedule(),
            seed=0,
            cuda_graph=cuda_graph,
        )
        data = TensorDataset(batch(1, 14).cpu(), torch.arange(14) % 3)
        silent = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False)
        trainer = lightning.Trainer(
            max_epochs=3,
            accelerator="gpu" if DEVICE == "cuda" else "cpu",
            devices=1,
            precision=precision,
            callbacks=[NonFiniteGuard()],
            limit_val_batches=0,
            **silent,
        )
        trainer.fit(module, DataLoader(data, batch_size=4))
        return [value.detach().float().cpu() for value in network.state_dict().values()]

    plain = fit(False)
    assert recorder.recordings == 0
    assert same(plain, fit(True))
    assert recorder.recordings == 1
    assert recorder.replays == 9 + 3


REFUSED = {
    "trainer.accelerator=cpu": "needs a CUDA device",
    "compile=true": "Take one of them",
    "trainer.accumulate_grad_batches=2": "Take one of them",
    "trainer.devices=2": "trainer.devices=1",
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_does_not_go_with_it(word: str) -> None:
    words = ["cuda_graph=true", word, *(["trainer.accelerator=cpu"] if "devices" in word else [])]
    cfg = composed(*words)
    checks = [distributed.check] if "devices" in word else [config.check, build.check_device]
    with pytest.raises(UserError, match=rf"cuda_graph=true.*{REFUSED[word]}"):
        [check(cfg) for check in checks]
