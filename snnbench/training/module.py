"""The LightningModule: a network, a loss, an optimizer, and what is measured of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric

from snnbench.energy.counter import FiringRates, SynOps
from snnbench.errors import UserError
from snnbench.neurons.base import spiking_layers
from snnbench.seeding import seed_all
from snnbench.training.confusion import Confusion
from snnbench.training.fused import align
from snnbench.training.losses import Scheduled
from snnbench.training.optim import StepwiseLR
from snnbench.training.replay import Replay

Batch = tuple[Tensor, Tensor]


class Meter(Metric):
    """Loss and accuracy (percent, of the time-mean logits) of the samples of one pass, over all devices."""

    full_state_update = False
    loss: Tensor
    correct: Tensor
    samples: Tensor

    def __init__(self) -> None:
        super().__init__()
        wide = torch.float32 if torch.backends.mps.is_available() else torch.float64
        for name, dtype in {"loss": wide, "correct": torch.int64, "samples": torch.int64}.items():
            self.add_state(name, torch.zeros((), dtype=dtype), dist_reduce_fx="sum")

    def update(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: its mean loss, logits [T, B, K], or [T, n B, K] of n passes, and labels [B] or [B, K].

        Of several passes the accuracy is the first one's.
        """
        hard = labels.argmax(1) if labels.dim() == 2 else labels
        first = logits.detach()[:, : len(hard)]
        self.loss.add_(loss.detach() * len(hard))  # += would go through Module.__setattr__, which costs more
        self.correct.add_((first.float().mean(0).argmax(1) == hard).sum())
        self.samples.add_(len(hard))

    def compute(self) -> dict[str, float]:
        correct, samples = int(self.correct), int(self.samples)
        return {"loss": float(self.loss) / samples, "acc": 100 * correct / samples} if samples else {}

    def collect(self) -> dict[str, float]:
        """The values of the pass, `acc` in percent, and a fresh start; none where no sample was met."""
        values: dict[str, float] = self.compute()
        self.reset()
        return values


class SpikingClassifier(lightning.LightningModule):
    """Trains a network that maps images to logits per timestep.

    Args:
        network: takes [B, C, H, W] or [T, B, C, H, W], returns logits [T, B, K].
        loss: takes logits [T, B, K] and labels [B] or [B, K]; may be Scheduled. A Follower knows the network
            already (`build.build_loss`).
        optimizer: builds the optimizer from the network.
        schedule: builds the learning-rate scheduler, stepped once an epoch, from the optimizer.
        seed: of the run; the random state of a training step depends on it, the epoch, the batch and the device alone.
        batch_transform: applied to each training batch on the device (Mixup, CutMix), or None.
        eval_names: the names of the evaluation loaders, in their order.
        compile: whether training (not evaluation) runs through torch.compile.
        cuda_graph: whether it is replayed as a CUDA graph instead (`Replay`).
        eval_autocast: whether evaluation, too, is in the trainer's mixed precision, where it has one; else in float32.

    Attributes:
        epoch_values: loss and accuracy (percent) of each pass that this epoch has ended, as "train/acc"; emptied when
            the next epoch begins. Callbacks find the training's from the first validation hook on.
        count_operations: whether an evaluation outside training counts operations; in training, that of the
            last planned epoch does, so that a training which ends earlier has no energy yet.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        optimizer: Callable[[nn.Module], Optimizer],
        schedule: Callable[[Optimizer], LRScheduler],
        *,
        seed: int,
        batch_transform: Callable[[Tensor, Tensor], Batch] | None = None,
        eval_names: Sequence[str] = ("test",),
        compile: bool = False,
        cuda_graph: bool = False,
        eval_autocast: bool = True,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.seed = seed
        self.eval_names = list(eval_names)
        self.meters = nn.ModuleDict({name: Meter() for name in ["fit", *self.eval_names]})
        self.firing = FiringRates(network)
        self.synops = SynOps(network)
        self.confusion = Confusion()
        self.count_operations = False
        self.epoch_values: dict[str, float] = {}
        self._optimizer = optimizer
        self._schedule = schedule
        self._batch_transform = batch_transform
        self._eval_autocast = eval_autocast
        # in a tuple, so that the same parameters are not registered under a second name
        self._trained: tuple[Callable[[Tensor], Tensor]] = (
            torch.compile(network) if compile else Replay(network) if cuda_graph else network,
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits

    def on_train_epoch_start(self) -> None:
        self.epoch_values = {}
        self._set_progress()
        if isinstance(self._trained[0], Replay):
            if self.trainer.accumulate_grad_batches != 1:
                raise UserError("cuda_graph=true: a replay overwrites the gradients that others would be added to.")
            self._trained[0].renew()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        seed_all(self.seed, self.current_epoch, batch_idx, self.global_rank)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, labels = batch
        if self._batch_transform is not None:
            x, labels = self._batch_transform(x, labels)
        logits = self._trained[0](x)
        loss: Tensor = self.loss(logits, labels)
        self._meter("fit").update(loss, logits, labels)
        return loss * self._share(len(labels), batch_idx)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if batch_idx + 1 == self.trainer.num_training_batches:
            self._collect("fit", "train")

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        x, labels = batch
        name = self.eval_names[dataloader_idx]
        if batch_idx == 0:
            self._count(name)
        with nullcontext() if self._eval_autocast else torch.autocast(x.device.type, enabled=False):
            logits = self(x)
            loss = self.loss(logits, labels)
        self._meter(name).update(loss, logits, labels)
        self.confusion.update(logits, labels)

    def on_validation_epoch_start(self) -> None:
        if self.trainer.state.fn == "fit":
            self._set_progress()  # of averaged weights, too, whose mean of it would be none of this epoch

    def _set_progress(self) -> None:
        fraction = self.current_epoch / max((self.trainer.max_epochs or 1) - 1, 1)
        for part in (*spiking_layers(self.network).values(), self.loss):
            if isinstance(part, Scheduled):
                part.set_progress(fraction)

    def on_validation_epoch_end(self) -> None:
        counters: list[FiringRates | SynOps | Confusion] = [self.firing, self.synops, self.confusion]
        for counter in counters:
            counter.stop()
            if self.trainer.world_size > 1:
                counter.sum_over_devices(lambda counts: self.trainer.strategy.reduce(counts, reduce_op="sum"))
        for name in self.eval_names:
            self._collect(name, name)
        evaluated = {key: value for key, value in self.epoch_values.items() if not key.startswith("train/")}
        self.log_dict(evaluated, logger=False)  # for checkpoints to monitor; History tells the loggers

    def configure_optimizers(self) -> Any:
        optimizer = self._optimizer(self.network)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self._schedule(optimizer), "interval": "epoch"}}

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        align(optimizer)
        scheduler = self.lr_schedulers()
        if isinstance(scheduler, StepwiseLR):
            scheduler.warm_up(self.trainer.global_step)

    def _share(self, samples: int, batch_idx: int) -> float:
        """What makes accumulated gradients those of the whole batch, also where its last group is not full.

        Lightning divides each loss by the number of accumulated batches; a sample should count 1 / (its group's size).
        """
        parts = self.trainer.accumulate_grad_batches
        if parts == 1:
            return 1.0
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        done = batch_idx // parts * parts
        per_part = data.batch_size // self.trainer.world_size
        left = len(data.train_set) // self.trainer.world_size - done * per_part
        group = min(parts, int(self.trainer.num_training_batches) - done) * per_part
        return samples * parts / max(min(group, left), samples)

    def _count(self, name: str) -> None:
        """Start counting on the test set, stop on others: spikes always, operations where they are wanted."""
        last = self.trainer.state.fn == "fit" and self.current_epoch + 1 == self.trainer.max_epochs
        test = name == "test"
        for counter in (self.firing, self.confusion):
            counter.start() if test else counter.stop()
        self.synops.start() if test and (last or self.count_operations) else self.synops.stop()

    def _meter(self, name: str) -> Meter:
        meter = self.meters[name]
        assert isinstance(meter, Meter)
        return meter

    def _collect(self, name: str, prefix: str) -> None:
        for key, value in self._meter(name).collect().items():
            self.epoch_values[f"{prefix}/{key}"] = value


def classifier(module: lightning.LightningModule) -> SpikingClassifier:
    """The module that a callback is handed, under its own type."""
    assert isinstance(module, SpikingClassifier)
    return module
