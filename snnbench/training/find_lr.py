"""A range test of the learning rate: a training of a hundred steps under rising ones, which leaves no run."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from typing import Any

import lightning
import torch
from omegaconf import DictConfig

from snnbench import commands, config, log, status, sweepers, threads, weights
from snnbench.errors import UserError
from snnbench.training import build, devices, preflight
from snnbench.training.optim import StepwiseLR

STEPS, LOWEST, HIGHEST = 100, 1e-6, 1.0
_SMOOTH, _DIVERGED = 0.95, 4.0


class RangeTest(lightning.Callback):
    """Sets a higher learning rate before each step, and keeps the smoothed loss of each; L. Smith, WACV 2017.

    What the config has of ratios between learning rates, as by `optimizer.lr_factors`, stays, and so do rates that no
    schedule changes; its own warm-up by steps is off.

    Args:
        lr: the config's learning rate.

    Attributes:
        rates, losses: by step.
    """

    def __init__(self, lr: float) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._lr = lr
        self._ratios: list[float | None] = []
        self._mean = self._parts = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        groups = trainer.optimizers[0].param_groups
        self._ratios = [group["initial_lr"] / self._lr if group.get("scheduled", True) else None for group in groups]
        for each in trainer.lr_scheduler_configs:
            if isinstance(each.scheduler, StepwiseLR):
                each.scheduler.warmup_steps = 0

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        for group, ratio in zip(trainer.optimizers[0].param_groups, self._ratios, strict=True):
            if ratio is not None:
                group["lr"] = ratio * self._rate(trainer.global_step)

    @staticmethod
    def _rate(step: int) -> float:
        return LOWEST * float((HIGHEST / LOWEST) ** (step / (STEPS - 1)))

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        self._parts += float(outputs["loss"])  # divided by the number of accumulated batches already
        if step == len(self.rates):  # gradients are still being accumulated
            return
        loss, self._parts = self._parts, 0.0
        self._mean = _SMOOTH * self._mean + (1 - _SMOOTH) * loss
        smoothed = self._mean / (1 - _SMOOTH**step)
        if not math.isfinite(loss) or smoothed > _DIVERGED * min([smoothed, *self.losses]):
            trainer.should_stop = True
            return
        self.rates.append(self._rate(step - 1))
        self.losses.append(smoothed)


def find_lr(cfg: DictConfig, words: Sequence[str]) -> int:
    """Print the learning rate at which the loss falls fastest, and the command that trains with it.

    Args:
        cfg: of the run that is to be.
        words: its overrides.

    Raises:
        UserError: it cannot be done with this config, or gave no answer.
    """
    if status.is_sweep():
        raise UserError(sweepers.NO_FINDING)
    config.check(cfg)
    weights.identify(cfg)
    devices.check_device(cfg)
    log.quieten()
    build.set_threads(threads.for_run(cfg.threads, None))
    data = build.build_data(cfg)
    module = preflight.ready(cfg, data)
    test = RangeTest(float(cfg.optimizer.lr))
    with tempfile.TemporaryDirectory() as folder:
        ends: dict[str, Any] = {
            "max_steps": STEPS,
            "max_epochs": STEPS,
            "limit_val_batches": 0,
            "enable_checkpointing": False,
        }
        trainer = build.bare_trainer(cfg, callbacks=[test], default_root_dir=folder, **ends)
        if trainer.world_size > 1:
            raise UserError(f"lr_find=true: takes one device, not trainer.devices={cfg.trainer.devices}.")
        data.epoch_of = build.epoch_counter(trainer, data)
        trainer.fit(module, datamodule=data)
    _tell(test, float(cfg.optimizer.lr), [word for word in words if not word.startswith("lr_find=")])
    return 0


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The learning rate at which the loss falls fastest over its logarithm, before it is lowest; None if it never does.

    Args:
        rates: rising, one a step.
        losses: of these steps, smoothed.
    """
    lowest = min(range(len(losses)), key=lambda step: losses[step], default=0)
    slopes = {
        step: (losses[step + 1] - losses[step - 1]) / math.log(rates[step + 1] / rates[step - 1])
        for step in range(STEPS // 10, lowest)  # the first ones are means of few
    }
    found = min(slopes, key=lambda step: slopes[step], default=None)
    return None if found is None or slopes[found] >= 0 else rates[found]


def _tell(test: RangeTest, before: float, words: Sequence[str]) -> None:
    found = steepest(test.rates, test.losses)
    if found is None:
        raise UserError(f"lr_find=true: the loss fell at no learning rate from {LOWEST:g} to {HIGHEST:g}.")
    rate = float(f"{found:.2g}")
    others = [word for word in words if not word.startswith("optimizer.lr=")]
    lowest = int(torch.tensor(test.losses).argmin())
    print(
        f"The loss of {len(test.rates)} steps under rising learning rates, from {LOWEST:g} on, fell fastest at "
        f"{rate:g} and was lowest, {test.losses[lowest]:.3g}, at {test.rates[lowest]:.2g}; the config has {before:g}.\n"
        f"To train with it: {commands.command('train.py', *others, commands.override('optimizer.lr', rate))}"
    )
