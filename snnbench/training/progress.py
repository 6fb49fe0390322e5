"""What a person sees while a run goes on: a line for each epoch, and where there is a terminal, a bar below them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import lightning
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from snnbench.training.module import classifier

SILENT, LONGEST_SILENCE = 10.0, 600.0  # seconds without a line; the first is doubled with each line within an epoch


class Progress(lightning.Callback):
    """A line after each epoch; at a terminal, a bar over the training steps of the whole run.

    Elsewhere a line at the start, and within an epoch that is long one after 10 seconds, 20 more, 40 more, ...
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: Bar | None = None
        self._task: Any = None
        self._began = self._last_line = 0.0
        self._first = self._steps = 0
        self._patience = SILENT

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._steps = int(trainer.num_training_batches)
        self._first = self._steps * trainer.current_epoch
        self._began = self._last_line = time.monotonic()
        if not trainer.is_global_zero:
            return
        if self._console.is_terminal:
            self._begin(trainer)
        else:
            self._print(f"epoch {self._epoch(trainer)} begins; {self._steps:,} steps an epoch")

    def _begin(self, trainer: lightning.Trainer) -> None:
        self._bar = Bar(
            TextColumn("epoch {task.fields[epoch]}"), BarColumn(bar_width=None), TextColumn("{task.percentage:.0f} %"),
            TextColumn("{task.fields[left]}"), TextColumn("{task.fields[accuracy]}"),
            console=self._console, expand=True,
        )  # fmt: skip
        total = self._steps * (trainer.max_epochs or 1)
        fields: dict[str, Any] = {"epoch": self._epoch(trainer), "left": "", "accuracy": ""}
        self._task = self._bar.add_task("", total=total, completed=self._first, **fields)
        self._bar.start()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.is_global_zero:
            return
        done = self._steps * trainer.current_epoch + batch_idx + 1
        if self._bar:
            left = self._left(trainer, done)
            self._bar.update(self._task, completed=done, epoch=self._epoch(trainer), left=left)
        elif time.monotonic() - self._last_line >= self._patience and batch_idx + 1 < self._steps:
            self._patience = min(2 * self._patience, LONGEST_SILENCE)
            share = 100 * (batch_idx + 1) // self._steps
            self._print(f"epoch {self._epoch(trainer)}  {share} % of its steps  {self._left(trainer, done)}")

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        values = classifier(pl_module).epoch_values
        if not trainer.is_global_zero or not values:
            return
        words = [f"epoch {self._epoch(trainer)}", *summary(values)]
        left = self._left(trainer, self._steps * (trainer.current_epoch + 1))
        if self._bar:
            self._bar.update(self._task, left=left, accuracy=accuracy(values))
        else:
            words.append(left)
        self._print("  ".join(words))

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

    def _print(self, text: str) -> None:
        self._last_line = time.monotonic()
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _left(self, trainer: lightning.Trainer, done: int) -> str:
        """How long the rest takes at the speed so far, evaluations included."""
        per_step = (time.monotonic() - self._began) / max(done - self._first, 1)
        return f"{duration(per_step * (self._steps * (trainer.max_epochs or 1) - done))} left"

    @staticmethod
    def _epoch(trainer: lightning.Trainer) -> str:
        return f"{trainer.current_epoch + 1}/{trainer.max_epochs}"


def summary(values: Mapping[str, float]) -> list[str]:
    """Accuracy and loss of each pass of an epoch, as "test 91.20 % (loss 0.312)", the test first."""
    passes = sorted({key.partition("/")[0] for key in values}, key=lambda name: (name != "test", name == "train"))
    return [f"{name} {values[f'{name}/acc']:.2f} % (loss {values[f'{name}/loss']:.3g})" for name in passes]


def accuracy(values: Mapping[str, float]) -> str:
    """The one that counts most of those that were measured."""
    return next((f"{name} {values[f'{name}/acc']:.2f} %" for name in ("test", "train") if f"{name}/acc" in values), "")


def duration(seconds: float) -> str:
    """As 42 s, 12:05 or 31:12:05."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if not minutes:
        return f"{whole} s"
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
