"""The module does its own work, also where nobody records it; the history records, and changes nothing."""

import copy
import time
from types import SimpleNamespace

import lightning
import pytest
import torch

from snnbench.training import build
from snnbench.training.history import History
from snnbench.training.module import SpikingClassifier, classifier
from tests.conftest import TINY
from tests.test_configs import compose


class Probe(lightning.Callback):
    """What a callback finds at each hook."""

    def __init__(self):
        self.seen = []

    def look(self, hook, trainer, module):
        progress = {round(float(layer.progress), 4) for layer in module.modules() if hasattr(layer, "lambda_rate")}
        self.seen.append((hook, trainer.current_epoch, sorted(module.epoch_values), progress))

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 0:
            self.look("batch", trainer, pl_module)

    def on_validation_start(self, trainer, pl_module):
        self.look("validation", trainer, pl_module)

    def on_train_epoch_end(self, trainer, pl_module):
        self.look("end", trainer, pl_module)


def fit(callbacks, *words):
    cfg = compose(*TINY, "threads=1", "neuron=masked_psn", "neuron.k=1", "+trainer.enable_checkpointing=false", *words)
    cfg = copy.deepcopy(cfg)
    cfg.callbacks = {}
    data = build.build_data(cfg)
    module = build.build_module(cfg, build.build_network(cfg), data)
    data.epoch_of = lambda: 0
    trainer = build.build_trainer(cfg, callbacks)
    trainer.fit(module, datamodule=data)
    return module


def test_without_a_history_the_module_opens_and_closes_its_epochs(tmp_path, monkeypatch):
    probe = Probe()
    fit([probe], "epochs=4", "trainer.check_val_every_n_epoch=2")
    trained, tested = ["train/acc", "train/loss"], ["test/acc", "test/loss", "train/acc", "train/loss"]
    for epoch in range(4):
        expected = [("batch", []), *([("validation", trained), ("end", tested)] if epoch % 2 else [("end", trained)])]
        assert [(hook, keys) for hook, at, keys, _ in probe.seen if at == epoch] == expected
        assert {value for _, at, _, found in probe.seen if at == epoch for value in found} == {round(epoch / 3, 4)}


class Watched(History):
    """Compares the module before and after each of the history's hooks."""

    looked = 0

    @staticmethod
    def state(module):
        values = {key: value.clone() for key, value in module.state_dict().items()}
        meters = {name: copy.deepcopy(meter.metric_state) for name, meter in module.meters.items()}
        return values, meters, dict(module.epoch_values), module.firing.rates()

    def check(self, hook, trainer, module, *rest):
        before = self.state(classifier(module))
        hook(trainer, module, *rest)
        after = self.state(classifier(module))
        assert before[2:] == after[2:]
        for ours, theirs in zip(before[:2], after[:2], strict=True):
            assert str(ours) == str(theirs)
        self.looked += 1

    def on_train_epoch_start(self, *found):
        self.check(super().on_train_epoch_start, *found)

    def on_train_batch_end(self, *found):
        self.check(super().on_train_batch_end, *found)

    def on_train_epoch_end(self, *found):
        self.check(super().on_train_epoch_end, *found)


def test_the_history_leaves_the_module_as_it_is(tmp_path):
    history = Watched(tmp_path)
    fit([history])
    assert history.looked == 8  # an epoch's start and end, and two batches, twice
    assert [row["epoch"] for row in history.metrics] == [0, 1]
    assert all({"train/loss", "test/acc", "test/firing_rate"} <= row.keys() for row in history.metrics)


def test_evaluation_is_no_training_time(tmp_path, monkeypatch):
    step = SpikingClassifier.validation_step

    def slow(self, *found):
        time.sleep(0.5)
        return step(self, *found)

    monkeypatch.setattr(SpikingClassifier, "validation_step", slow)
    history = History(tmp_path)
    fit([history])
    assert history.train_samples == 2 * 128
    assert history.wall_seconds > 1.0 + history.train_seconds


def test_the_clock_is_read_once_the_device_is_done(tmp_path, monkeypatch):
    """A GPU still has seconds of work when the last batch's hook is called."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda device: now.__setitem__(0, now[0] + 5.0))
    history = History(tmp_path)
    trainer = SimpleNamespace(
        optimizers=[SimpleNamespace(param_groups=[{"lr": 0.1}])], world_size=1, num_training_batches=2
    )
    for kind, seconds in (("cuda", 7.0), ("cpu", 2.0)):
        module, before = SimpleNamespace(device=torch.device(kind)), history.train_seconds
        history.on_train_epoch_start(trainer, module)
        for batch in range(2):
            now[0] += 1.0
            history.on_train_batch_end(trainer, module, None, (None, [0, 1]), batch)
        assert history.train_seconds - before == pytest.approx(seconds)
