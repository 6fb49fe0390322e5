"""The guard names the layer in which the numbers of this very run overflow."""

from types import SimpleNamespace

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import MixedPrecision, Precision
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset

from snnbench.training import guard
from snnbench.training.guard import NonFinite, NonFiniteGuard
from snnbench.training.module import SpikingClassifier
from snnbench.training.optim import ConstantSchedule


class Head(nn.Linear):
    """One weight that float32 holds, and that bfloat16 rounds to infinity."""

    def __init__(self) -> None:
        super().__init__(1, 1, bias=False)
        self.weight.data.fill_(3.4e38)


@pytest.mark.parametrize(
    ("precision", "origin"),
    [(MixedPrecision("bf16-mixed", "cpu"), r"layer head \(Head\): its output"), (Precision(), "the loss itself")],
)
def test_the_diagnosis_computes_as_the_run_did(precision, origin):
    network = nn.Sequential()
    network.add_module("head", Head())
    module = SpikingClassifier(network, nn.Identity(), torch.optim.SGD, lambda optimizer: None, seed=0)
    trainer = SimpleNamespace(precision_plugin=precision, global_step=3, current_epoch=1)
    callback = NonFiniteGuard()
    callback.on_fit_start(trainer, module)
    module(torch.ones(1, 1))
    with pytest.raises(NonFinite, match=rf"the loss is nan in epoch 2, step 4: first {origin}"):
        callback.on_before_backward(trainer, module, torch.tensor(torch.nan))


class Reads(TorchDispatchMode):
    """Notes each value that is read from a tensor, as `.item()`, `bool()` and `float()` do."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default):
            self.values.append(found)
        return found


class Training:
    """Steps of one weight w with the loss w x, on a device that has to be waited for."""

    def __init__(self, *, every_n_steps: int = 1, fused: bool = True, kind=torch.optim.SGD) -> None:
        self.network = nn.Sequential()
        self.network.add_module("head", nn.Linear(1, 1, bias=False))
        self.network.head.weight.data.fill_(1.0)
        self.module = SpikingClassifier(self.network, nn.Identity(), torch.optim.SGD, lambda optimizer: None, seed=0)
        self.optimizer = kind(self.network.parameters(), lr=0.5, fused=fused)
        self.trainer = SimpleNamespace(
            precision_plugin=Precision(), global_step=0, current_epoch=0, optimizers=[self.optimizer],
            num_training_batches=10,
        )  # fmt: skip
        self.guard = NonFiniteGuard(every_n_steps)
        self.guard.on_fit_start(self.trainer, self.module)

    @property
    def weight(self) -> float:
        return self.network.head.weight.item()

    def step(self, x: float) -> list[float]:
        """Returns what was read before the backward pass."""
        loss = self.module(torch.tensor([[x]])).sum()
        with Reads() as reads:
            self.guard.on_before_backward(self.trainer, self.module, loss)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.trainer.global_step += 1
        return reads.values


@pytest.fixture
def device(monkeypatch):
    monkeypatch.setattr(guard, "waits", lambda device: True)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_a_device_is_not_waited_for_in_the_step_itself(kind, device):
    training = Training(kind=kind)
    assert training.step(0.5) == []
    losses = [0.5]
    for x in (0.25, 0.125):
        losses.append(training.weight * x)
        assert training.step(x) == [pytest.approx(losses[-2])], "the one before"
    before = training.weight
    assert training.step(float("inf")) == [pytest.approx(losses[-1])]
    assert training.weight == before, "the optimizer left this step out"
    with pytest.raises(NonFinite, match=r"the loss is -?inf in epoch 1, step 4: first the input batch is not finite"):
        training.step(0.5)


def test_what_ends_an_epoch_or_is_written_reads_the_last_step(device):
    for write in (
        lambda one: one.guard.on_train_batch_end(one.trainer, one.module, None, None, 9),
        lambda one: one.guard.on_save_checkpoint(one.trainer, one.module, {}),
    ):
        training = Training()
        training.step(0.5)
        training.step(float("nan"))
        training.guard.on_train_batch_end(training.trainer, training.module, None, None, 4)
        with pytest.raises(NonFinite, match=r"the loss is nan in epoch 1, step 2"):
            write(training)
        write(training)  # which was told once


def test_a_weight_that_overflowed_is_named_a_step_later(device):
    training = Training()
    training.step(0.5)
    training.network.head.weight.data.fill_(torch.inf)
    training.step(0.5)
    with pytest.raises(NonFinite, match=r"step 2: first layer head: its parameter weight is not finite"):
        training.step(0.5)


def test_looks_that_are_not_wanted_are_not_taken(device):
    training = Training(every_n_steps=3)
    assert [len(training.step(0.5)) for _ in range(5)] == [0, 1, 0, 0, 1]


def test_where_a_step_cannot_be_left_out_the_device_is_waited_for(device):
    training = Training(fused=False)
    before = training.weight
    with pytest.raises(NonFinite, match=r"the loss is inf in epoch 1, step 1"):
        training.step(float("inf"))
    assert training.weight == before


def test_on_a_cpu_the_step_itself_is_read():
    training = Training()
    assert training.step(0.5) == [0.5]
    assert not hasattr(training.optimizer, "found_inf")


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("bad", [0, 1, 2])
def test_nothing_is_written_after_a_loss_that_is_not_finite(bad, scaled, device, tmp_path):
    """Three steps of a run that writes a checkpoint after each, as one on a device would be guarded."""
    network = nn.Sequential(nn.Linear(2, 2), nn.Unflatten(0, (1, -1)))
    module = SpikingClassifier(
        network,
        lambda logits, labels: nn.functional.cross_entropy(logits[0].float(), labels),
        lambda network: torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, fused=True),
        ConstantSchedule(),
        seed=0,
    )
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    x[2 * bad] = torch.nan
    plugin = [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", 2.0**8))] if scaled else []
    silent = dict.fromkeys(["logger", "enable_progress_bar", "enable_model_summary"], False)
    written = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[NonFiniteGuard(), written],
        plugins=plugin,
        limit_val_batches=0,
        **silent,
    )
    with pytest.raises(NonFinite, match=rf"the loss is nan in epoch 1, step {bad + 1}: first the input batch"):
        trainer.fit(module, DataLoader(TensorDataset(x, torch.arange(6) % 2), batch_size=2))
    assert len(list(tmp_path.iterdir())) == bad
    assert all(torch.isfinite(p).all() for p in network.parameters())
    assert module.epoch_values == {}
