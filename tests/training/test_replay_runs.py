"""Replayed steps in whole trainings, and what they do not go with."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import hydra
import lightning
import lightning.pytorch.callbacks
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from snnbench import config
from snnbench.errors import UserError
from snnbench.training import devices, distributed
from snnbench.training.averaging import SWA
from snnbench.training.fused import build_fused
from snnbench.training.guard import NonFiniteGuard
from snnbench.training.module import SpikingClassifier
from snnbench.training.optim import ConstantSchedule
from tests.training.replay_cases import DEVICE, Recorder, batch, made, same

pytestmark = pytest.mark.usefixtures("recorder")


def composed(*words: str) -> DictConfig:
    config.register_schema()
    with hydra.initialize_config_dir(str(config.CONFIGS), version_base="1.3"):
        return hydra.compose("train", ["paths.output_dir=out", *words])


def fit(cuda_graph: bool, precision: str = "32-true", **options: Any) -> list[Tensor]:
    """Three epochs by Lightning, of three whole batches and a smaller one; what they leave of the network."""
    network = made()
    module = SpikingClassifier(
        network,
        lambda logits, labels: nn.functional.cross_entropy(logits.float().mean(0), labels),
        lambda network: build_fused(
            partial(torch.optim.SGD, lr=0.1, momentum=0.9), [{"params": list(network.parameters())}]
        ),
        ConstantSchedule(),
        seed=0,
        cuda_graph=cuda_graph,
    )
    data = TensorDataset(batch(1, 14).cpu(), torch.arange(14) % 3)
    silent = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False)
    callbacks = [NonFiniteGuard(), *options.pop("callbacks", [])]
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="gpu" if DEVICE == "cuda" else "cpu",
        devices=1,
        precision=precision if precision != "16-mixed" else None,
        plugins=[MixedPrecision("16-mixed", DEVICE, torch.amp.GradScaler(DEVICE, 2.0**8))]
        if precision == "16-mixed"
        else [],
        callbacks=callbacks,
        limit_val_batches=0,
        **options,
        **silent,
    )
    trainer.fit(module, DataLoader(data, batch_size=4))
    return [value.detach().float().cpu() for value in network.state_dict().values()]


@pytest.mark.parametrize(
    ("precision", "options"),
    [
        ("32-true", {}),
        ("bf16-mixed", {}),
        ("16-mixed", {}),
        ("32-true", {"gradient_clip_val": 0.05}),
        ("32-true", {"callbacks": [SWA(start=0.3)]}),
    ],
)
def test_by_lightning(precision: str, options: dict[str, Any], recorder: Recorder) -> None:
    plain = fit(False, precision, **copy.deepcopy(options))
    assert recorder.recordings == 0
    assert same(plain, fit(True, precision, **copy.deepcopy(options)))
    assert recorder.recordings == 1
    assert recorder.replays == 9 + 3


REFUSED = {
    "trainer.accelerator=cpu": "needs a CUDA device",
    "compile=true": "Take one of them",
    "+trainer.detect_anomaly=true": "which no recording allows",
    "trainer.accumulate_grad_batches=2": "Take one of them",
    "trainer.devices=2": "trainer.devices=1",
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_does_not_go_with_it(word: str) -> None:
    words = ["cuda_graph=true", word, *(["trainer.accelerator=cpu"] if "devices" in word else [])]
    cfg = composed(*words)
    checks = [distributed.check] if "devices" in word else [config.check, devices.check_device]
    with pytest.raises(UserError, match=rf"cuda_graph=true.*{REFUSED[word]}"):
        [check(cfg) for check in checks]


def test_accumulated_gradients_are_refused_whoever_asks_for_them() -> None:
    with pytest.raises(UserError, match="cuda_graph=true"):
        fit(True, callbacks=[lightning.pytorch.callbacks.GradientAccumulationScheduler({0: 1, 1: 2})])
