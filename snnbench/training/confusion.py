"""Which classes the samples of an evaluation were taken for, counted while it runs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Confusion:
    """Counts samples by class and by the class they were taken for, on the device, between `start` and `stop`.

    A batch costs an addition for each of its samples, and waits for nothing.

    Attributes:
        counts: [K, K] int64, the class in rows and what it was taken for in columns; None before the first batch.
    """

    def __init__(self) -> None:
        self.counts: Tensor | None = None
        self._running = False

    def start(self) -> None:
        self.counts, self._running = None, True

    def stop(self) -> None:
        self._running = False

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: logits [T, B, K], of which the time-mean decides, and labels [B] or [B, K]."""
        if not self._running:
            return
        classes = logits.shape[-1]
        hard = labels.argmax(1) if labels.dim() == 2 else labels
        cells = hard * classes + logits.detach().float().mean(0).argmax(1)
        if self.counts is None:
            self.counts = cells.new_zeros(classes, classes)
        self.counts.view(-1).index_add_(0, cells, torch.ones_like(cells))  # bincount would wait for the device

    def sum_over_devices(self, total: Callable[[Tensor], Tensor]) -> None:
        """Take the sum over all processes, as `total` gives it of one's own."""
        if self.counts is not None:
            self.counts = total(self.counts)
