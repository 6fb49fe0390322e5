"""Callbacks that set learning rates where Lightning, which steps the schedule between epochs, would not."""

from __future__ import annotations

from typing import Any

import lightning
from torch.optim.lr_scheduler import LambdaLR

from snnbench.training.module import Batch


def _set(trainer: lightning.Trainer, epoch: float | None = None) -> None:
    """Give the optimizer the rates of `epoch`, or of the one that its schedule, a LambdaLR, has reached."""
    scheduler: Any = trainer.lr_scheduler_configs[0].scheduler
    if isinstance(scheduler, LambdaLR):
        at: Any = scheduler.last_epoch if epoch is None else epoch
        found = [base * factor(at) for base, factor in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)]
        for group, rate in zip(scheduler.optimizer.param_groups, found, strict=True):
            group["lr"] = rate
        scheduler._last_lr = found  # to which a warm-up by steps rises


class NewRates(lightning.Callback):
    """Gives a resumed training the learning rate of its new schedule: the checkpoint has that of the old one."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        _set(trainer)


class PerBatch(lightning.Callback):
    """Sets the rates before each optimizer step: those of the epoch, of which the batches before it are a fraction."""

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        first = batch_idx - batch_idx % trainer.accumulate_grad_batches
        _set(trainer, trainer.current_epoch + first / trainer.num_training_batches)
