"""The mean of the weights of the last epochs, as stochastic weight averaging (SWA) has it."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import WeightAveraging

from snnbench.check import number


class SWA(WeightAveraging):
    """Evaluates, and stores as the run's weights, the mean of the weights at the ends of the epochs from `start` on.

    P. Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, UAI 2018, on the learning
    rates of the run's own schedule, and with the mean of the norms' statistics in place of a pass that measures them
    again. Until then, and in the first of these epochs, the mean is the weights themselves.

    Args:
        start: the share of the epochs after which the mean begins, in [0, 1).
    """

    def __init__(self, start: float = 0.75) -> None:
        super().__init__()
        self.start = number("SWA.start", start, "[0, 1)")

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return False  # at neither of Lightning's times: the end of an epoch is after its evaluation

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx + 1 < trainer.num_training_batches:
            return
        assert self._average_model is not None
        if trainer.current_epoch <= self.start * (trainer.max_epochs or 1):
            self._average_model.n_averaged.zero_()  # then the next one replaces the mean
        self._average_model.update_parameters(pl_module)
