"""The record of a run, epoch by epoch: kept in the checkpoint, mirrored in the folder's .csv files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch

from snnbench.errors import UserError
from snnbench.neurons import SpikingNeuron
from snnbench.neurons.base import spiking_layers
from snnbench.runs.confusion import write_confusion
from snnbench.runs.curves import write_layers, write_metrics
from snnbench.runs.schema import EPOCH, MEAN, RATE, STD, TEST_ACC, TEST_RATE
from snnbench.training.module import SpikingClassifier, classifier

OFFICIAL = "test/acc_official"  # as loggers name the authors' accuracy, in the section that has test/acc


class History(lightning.Callback):
    """Collects each epoch's metrics, firing rates and learned coefficients; what it reads, it leaves as it is.

    The rows live in the checkpoint and the files are rewritten from them, whole, after each epoch. A run that
    is killed and resumed therefore neither loses a line nor repeats one.

    Args:
        folder: of the run.
        official: the authors' test accuracy in percent by epoch, for the loggers alone to chart beside the run's own.

    Attributes:
        metrics: one row an epoch: epoch, lr, train/loss, train/acc and, of epochs with an evaluation, test/loss,
            test/acc, ..., test/firing_rate (over the whole network); acc in percent.
        layers: one row per epoch, layer and quantity (firing_rate, in epochs with an evaluation, or a coefficient;
            per-channel coefficients by `.mean` and `.std`).
        train_seconds, train_samples: over all epochs, without evaluation.
        wall_seconds: all of it, up to the last finished epoch, over every resumption.
        energy: the `energy` block of result.json, once the last planned epoch was evaluated; None if it never is, as
            with EarlyStopping.
        confusion: of the last evaluation, [K, K] samples by class and by the class they were taken for; None before it.
    """

    def __init__(self, folder: Path, official: Sequence[float] = ()) -> None:
        self.folder = folder
        self.official = official
        self.metrics: list[dict[str, float]] = []
        self.layers: list[tuple[int, str, str, float]] = []
        self.energy: dict[str, Any] | None = None
        self.confusion: torch.Tensor | None = None
        self.train_seconds = 0.0
        self.train_samples = 0
        self.wall_seconds = 0.0
        self._lr = 0.0
        self._started = 0.0
        self._clock = 0.0

    def state_dict(self) -> dict[str, Any]:
        keys = ("metrics", "layers", "train_seconds", "train_samples", "wall_seconds", "energy", "confusion")
        return {key: getattr(self, key) for key in keys}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for key, value in state_dict.items():
            setattr(self, key, value)

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._clock = time.perf_counter()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._lr = trainer.optimizers[0].param_groups[0]["lr"]
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.train_samples += len(batch[1]) * trainer.world_size
        if batch_idx + 1 == trainer.num_training_batches:
            _wait_for(pl_module.device)
            self.train_seconds += time.perf_counter() - self._started

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        module = classifier(pl_module)
        epoch = trainer.current_epoch
        if "train/loss" not in module.epoch_values:
            raise UserError(
                f"epoch {epoch + 1} was ended before its last batch, by a callback perhaps; what it measured is of no "
                "whole epoch. End a training between epochs."
            )
        row = {EPOCH: epoch, "lr": self._lr, **module.epoch_values}
        evaluated = TEST_ACC in row
        rate = module.firing.mean() if evaluated else None
        self.energy = module.synops.energy() if evaluated else None
        if evaluated and module.confusion.counts is not None:
            self.confusion = module.confusion.counts.cpu()
        self.metrics.append(row if rate is None else {**row, TEST_RATE: rate})
        self.layers += [(epoch, *values) for values in layer_rows(module, evaluated)]
        now = time.perf_counter()
        self.wall_seconds, self._clock = self.wall_seconds + now - self._clock, now
        if trainer.is_global_zero:
            self.write()
        for logger in trainer.loggers:
            logger.log_metrics(self._logged(epoch), step=trainer.global_step)

    def _logged(self, epoch: int) -> dict[str, float]:
        """The last row, its layers, and the authors' accuracy of that epoch."""
        layers = {f"{quantity}/{layer}": value for e, layer, quantity, value in self.layers if e == epoch}
        official = {OFFICIAL: self.official[epoch]} if epoch < len(self.official) else {}
        return {**self.metrics[-1], **layers, **official}

    def write(self) -> None:
        """Rewrite the files from what is known."""
        write_metrics(self.folder, self.metrics)
        write_layers(self.folder, self.layers)
        if self.confusion is not None:
            write_confusion(self.folder, self.confusion.tolist())

    def best(self, metric: str) -> dict[str, float] | None:
        """The first row with the highest `metric`, or None if no epoch has it."""
        rows = [row for row in self.metrics if metric in row]
        return max(rows, key=lambda row: row[metric]) if rows else None

    def last_layers(self) -> dict[str, dict[str, float]]:
        """The last epoch's quantities by layer."""
        layers: dict[str, dict[str, float]] = {}
        for epoch, layer, quantity, value in self.layers:
            if epoch == self.metrics[-1][EPOCH]:
                layers.setdefault(layer, {})[quantity] = value
        return layers


def layer_rows(module: SpikingClassifier, evaluated: bool) -> list[tuple[str, str, float]]:
    """(layer, quantity, value) of each neuron layer: the firing rate, where it was measured, and what it learned."""
    rates = module.firing.rates() if evaluated else {}
    rows: list[tuple[str, str, float]] = []
    for name, layer in spiking_layers(module.network).items():
        if name in rates:
            rows.append((name, RATE, rates[name]))
        rows += [(name, quantity, value) for quantity, value in learned(layer).items()]
    return rows


def learned(layer: SpikingNeuron) -> dict[str, float]:
    """The learned coefficients of a layer as they enter its step: the value, or mean and std over channels."""
    values: dict[str, float] = {}
    for name, value in layer.coefficients().items():
        if value.requires_grad and value.numel() == 1:
            values[name] = value.item()
        elif value.requires_grad:
            flat = value.detach().float().flatten()
            values[name + MEAN] = flat.mean().item()
            values[name + STD] = flat.std(unbiased=False).item()
    return values


def _wait_for(device: torch.device) -> None:
    """Until it has done what it was given, so that the clock is not read while it is still at work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
