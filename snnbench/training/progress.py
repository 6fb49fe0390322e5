"""What a person sees while a run goes on: one bar with the time left, or one line an epoch in a log file."""

from __future__ import annotations

import time
from typing import Any

import lightning
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from snnbench.training.module import classifier


class Progress(lightning.Callback):
    """A bar over the training steps of the whole run; where there is no terminal, a line after each epoch."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: Bar | None = None
        self._task: Any = None
        self._began = 0.0
        self._first = 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._began, self._first = time.monotonic(), trainer.current_epoch
        if not trainer.is_global_zero or not self._console.is_terminal:
            return
        self._bar = Bar(
            TextColumn("epoch {task.fields[epoch]}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[values]}"),
            console=self._console,
        )  # fmt: skip
        total = int(trainer.num_training_batches) * (trainer.max_epochs or 1)
        done = int(trainer.num_training_batches) * trainer.current_epoch
        self._task = self._bar.add_task("", total=total, completed=done, epoch=self._epoch(trainer), values="")
        self._bar.start()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._bar:
            self._bar.update(self._task, advance=1, epoch=self._epoch(trainer))

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        epoch_values = classifier(pl_module).epoch_values
        values = "  ".join(f"{key} {value:.4g}" for key, value in epoch_values.items())
        if self._bar:
            self._bar.update(self._task, values=values)
        elif trainer.is_global_zero and not trainer.sanity_checking and trainer.state.fn == "fit":
            done = trainer.current_epoch + 1 - self._first
            left = (time.monotonic() - self._began) / done * ((trainer.max_epochs or 1) - trainer.current_epoch - 1)
            self._console.print(
                f"epoch {self._epoch(trainer)}  {values}  {left:.0f} s left", highlight=False, soft_wrap=True
            )

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._stop()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None

    @staticmethod
    def _epoch(trainer: lightning.Trainer) -> str:
        return f"{trainer.current_epoch + 1}/{trainer.max_epochs}"
