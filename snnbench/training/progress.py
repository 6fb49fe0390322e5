"""What a person sees while a run goes on: a line for each epoch, and where there is a terminal, a bar below them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import lightning
from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TextColumn
from rich.progress import Progress as Bar

from snnbench import status
from snnbench.training.module import Meter, classifier

FIRST_LINE, LINE = 10.0, 60.0  # seconds within an epoch until there is a line, and between lines
OFTEN = 1.0  # seconds between looks at the loss, for each of which a GPU has to be waited for
LONG = 60.0  # seconds of a training that is worth a forecast
WARM = 3  # steps that say nothing of the speed: kernels are compiled, memory is found
PASS = 1 / 3  # of a training step's time, for a batch that is only evaluated, until that was measured
NARROW = 72  # columns of a terminal that has no room for the bar itself


class Progress(lightning.Callback):
    """A line after each epoch; at a terminal, a bar over the training steps of the whole run.

    Elsewhere a line at the start, after 10 seconds of an epoch, and then each minute. Of a training that will take
    long, a forecast of the whole after the first seconds.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: Bar | None = None
        self._task: Any = None
        self._began = self._last_line = self._last_look = 0.0
        self._first = self._steps = 0
        self._warm: tuple[float, int] | None = None
        self._patience = FIRST_LINE
        self._forecast = self._whole = False  # whether it was said; whether an epoch was measured to its end
        self._job = ""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._steps = int(trainer.num_training_batches)
        self._first = self._steps * trainer.current_epoch
        self._began = self._last_line = self._last_look = time.monotonic()
        self._warm, self._forecast, self._whole = None, False, False
        if not trainer.is_global_zero:
            return
        self._job = status.place()
        if self._console.is_terminal:
            self._begin(trainer)
        else:
            self._print(f"{self._epoch(trainer)} begins; {self._steps:,} steps an epoch")

    def _begin(self, trainer: lightning.Trainer) -> None:
        bar: list[ProgressColumn] = [BarColumn(bar_width=None), TextColumn("{task.percentage:.0f} %")]
        fields = [TextColumn(f"{{task.fields[{name}]}}") for name in ("left", "loss", "accuracy")]
        columns = [TextColumn("{task.fields[epoch]}"), *(bar if self._console.width >= NARROW else []), *fields]
        self._bar = Bar(*columns, console=self._console, expand=True)
        total = self._steps * (trainer.max_epochs or 1)
        nothing: dict[str, Any] = {"left": "", "loss": "", "accuracy": ""}
        self._task = self._bar.add_task("", total=total, completed=self._first, epoch=self._epoch(trainer), **nothing)
        self._bar.start()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.is_global_zero:
            return
        now, done = time.monotonic(), self._steps * trainer.current_epoch + batch_idx + 1
        if self._warm is None and done - self._first >= min(WARM, self._steps):
            self._warm = now, done
        self._foretell(trainer, now, done)
        if self._bar:
            self._bar.update(self._task, completed=done, epoch=self._epoch(trainer), left=self._left(trainer, done))
            if now - self._last_look >= OFTEN:
                self._last_look = now
                self._bar.update(self._task, loss=_loss(pl_module))
        elif self._silent(now) and batch_idx + 1 < self._steps:
            share = f"{100 * (batch_idx + 1) // self._steps} % of its steps"
            words = [self._epoch(trainer), share, _loss(pl_module), self._left(trainer, done)]
            self._print("  ".join(word for word in words if word))

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        now = time.monotonic()
        if not trainer.is_global_zero or not self._steps or not (self._bar or self._silent(now)):
            return
        share = 100 * (batch_idx + 1) // int(trainer.num_val_batches[dataloader_idx])
        said = f"{classifier(pl_module).eval_names[dataloader_idx]}: {share} % evaluated"
        if self._bar:
            self._bar.update(self._task, accuracy=said)
        else:
            self._print(f"{self._epoch(trainer)}  {said}")

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        values = classifier(pl_module).epoch_values
        self._patience = FIRST_LINE
        if not trainer.is_global_zero or not values:
            return
        done, self._whole = self._steps * (trainer.current_epoch + 1), True
        if self._warm is None or self._warm[1] == done:
            self._warm = self._began, self._first
        words = [self._epoch(trainer), *summary(values)]
        left = self._left(trainer, done)
        if self._bar:
            loss = f"loss {values['train/loss']:.3g}" if "train/loss" in values else ""
            self._bar.update(self._task, left=left, loss=loss, accuracy=accuracy(values))
        else:
            words += [left] if left else []
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

    def _silent(self, now: float) -> bool:
        """Whether it is time for a line within an epoch."""
        if now - self._last_line < self._patience:
            return False
        self._patience = LINE
        return True

    def _print(self, text: str) -> None:
        self._last_line = time.monotonic()
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _foretell(self, trainer: lightning.Trainer, now: float, done: int) -> None:
        """Say once, before the first epoch has ended, how long all of them will take."""
        if self._forecast or self._warm is None or now - self._warm[0] < FIRST_LINE:
            return
        self._forecast = True
        seconds, epochs = self._rest(trainer, done), (trainer.max_epochs or 1) - trainer.current_epoch
        if done < self._first + self._steps and seconds + now - self._began >= LONG:
            each = duration((seconds + now - self._began) / epochs)
            whole = duration(seconds + now - self._began)
            steps = done - self._first
            self._print(f"forecast by {steps:,} steps: {whole} for {epochs:,} epochs, {each} each")

    def _rest(self, trainer: lightning.Trainer, done: int) -> float:
        """Seconds that the rest takes at the speed so far; evaluations are guessed until one was measured."""
        if self._warm is None or done <= self._warm[1]:
            return 0.0
        at, since = self._warm
        rest: float = (trainer.max_epochs or 1) * self._steps - done
        if not self._whole:
            evaluated = sum(int(count) for count in trainer.num_val_batches) if trainer.num_val_batches else 0
            rest *= 1 + PASS * evaluated / self._steps / (trainer.check_val_every_n_epoch or 1)
        return (time.monotonic() - at) / (done - since) * rest

    def _left(self, trainer: lightning.Trainer, done: int) -> str:
        rest = self._rest(trainer, done)
        return f"{duration(rest)} left" if rest else ""

    def _epoch(self, trainer: lightning.Trainer) -> str:
        job = f"{self._job.replace(' of ', '/')}  " if self._job else ""
        return f"{job}epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"


def _loss(pl_module: lightning.LightningModule) -> str:
    """The mean of the epoch so far, on this device."""
    meter = classifier(pl_module).meters["fit"]
    assert isinstance(meter, Meter)
    samples = int(meter.samples)
    return f"loss {float(meter.loss) / samples:.3g}" if samples else ""


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
