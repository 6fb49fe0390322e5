"""The data module: loaders whose batches depend on the config and the epoch alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from snnbench import cores
from snnbench.check import choice, count, flag, number
from snnbench.data.fingerprint import fingerprint
from snnbench.data.sampler import EvalBatches, TrainBatches
from snnbench.data.splits import CHOICES, stratified_split
from snnbench.errors import UserError
from snnbench.runs.fingerprint import Files, Fingerprint

Loader = DataLoader[tuple[Tensor, Tensor]]


class BenchData(LightningDataModule):
    """Loaders of one data set. A subclass loads it: `prepare_data`, `load`.

    Attributes:
        eval_names: Names of `val_dataloader()`'s loaders: ["test"], or ["test", "val"] with a validation split.
        epoch_of: Tells the current epoch; training sets it. Asked whenever a training epoch's loading starts.
        batch_transform: (x, y) -> (x, soft y), to be run on the device on each training batch; or None.
        provenance: "real" if the samples are proven to be all of the published ones; else "unverified" or "subset".
        doubt: Why it is not "real".
        split: How training, validation and test samples were told apart, for results.
        details: What else of the data shapes a result, for results.

    Args:
        name: The data set's name in results.
        in_channels: C of the images.
        num_classes: Number of classes.
        image_size: H and W of the images as the network sees them.
        batch_size: GLOBAL training batch size, over all devices.
        eval_batch_size: GLOBAL batch size of evaluation.
        seed: Decides order, augmentation and validation split.
        val_fraction: Share of each class's training samples held out for validation, in [0, 1).
        val_split: Which of them: "random" ones, or the "last" ones in the data set's order; see `stratified_split`.
        repeats: How often each drawn sample appears in a batch (repeated augmentation).
        drop_last: Leave out a last training batch that is not full.
        num_workers: Loading processes per device, or "auto": where whole batches are made at once none, and for
            augmented ones one on a GPU. What is nothing but pixels from memory never needs any.

    Raises:
        UserError: A value is outside its range.
    """

    provenance = "unverified"  # of a data set that says nothing
    split = ""
    details: Mapping[str, Any] = MappingProxyType({})
    batch_transform: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None

    def __init__(
        self,
        *,
        name: str,
        in_channels: int,
        num_classes: int,
        image_size: int,
        batch_size: int,
        eval_batch_size: int,
        seed: int,
        val_fraction: float = 0.0,
        val_split: str = "random",
        repeats: int = 1,
        drop_last: bool = False,
        num_workers: int | str = "auto",
    ) -> None:
        super().__init__()
        self.name = name
        self.in_channels = count("data.in_channels", in_channels)
        self.num_classes = count("data.num_classes", num_classes)
        self.image_size = count("data.image_size", image_size)
        self.batch_size = count("batch_size", batch_size)
        self.eval_batch_size = count("data.eval_batch_size", eval_batch_size)
        self.seed = count("data.seed", seed, 0)
        self.val_fraction = number("data.val_fraction", val_fraction, "[0, 1)", hint="0 holds nothing out.")
        self.val_split = choice("data.val_split", val_split, CHOICES)
        self.repeats = count("data.repeats", repeats, hint="1 repeats nothing.")
        self.drop_last = flag("data.drop_last", drop_last)
        self.num_workers = count("data.num_workers", num_workers, 0, also=("auto",))
        self.eval_names = ["test", "val"] if val_fraction else ["test"]
        self.epoch_of: Callable[[], int] = lambda: 0
        self.train_set: Dataset[Any] | None = None
        self.eval_sets: Mapping[str, Dataset[Any]] = {}

    @property
    def doubt(self) -> str:
        """Why the samples are not known to be all of the published ones."""
        return f"{type(self).__name__} does not prove its data"

    def files(self) -> Files | None:
        """What the files of the data are, or what stands for them; None where that is not known."""
        return None

    def fingerprint(self) -> Fingerprint:
        """What the data is; known after `setup`."""
        parts = {"train": self.train_set, **self.eval_sets}
        return fingerprint(type(self).__name__, self.split, parts, self.files())

    @abstractmethod
    def load(self) -> tuple[Dataset[Any], Mapping[str, Dataset[Any]]]:
        """Return the training set and the evaluation sets by their names; called once per process."""

    def setup(self, stage: str | None = None) -> None:
        if self.train_set is None:
            self.train_set, self.eval_sets = self.load()
            _check_classes(str(self.name), self.train_set)
        size, world = len(self.train_set), self._world  # type: ignore[arg-type]
        for key, value in (("batch_size", self.batch_size), ("data.eval_batch_size", self.eval_batch_size)):
            if value % world:
                raise UserError(
                    f"{key}={value}: must be a multiple of {world}, the number of devices. It is the global size."
                )
        for name, samples in self.eval_sets.items():
            count = len(samples)  # type: ignore[arg-type]
            if count < world:
                raise UserError(f"trainer.devices: {world} devices cannot share {count} samples of {name}; use fewer.")
        if self.steps_per_epoch == 0:
            raise UserError(
                f"batch_size={self.batch_size}: must be at most {size}, the number of training samples, with "
                "data.drop_last=true."
            )

    def hold_out(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Positions of the samples to train on, and of those held out for validation, in `labels` [N]."""
        kept, held_out = stratified_split(labels, self.val_fraction, self.seed, self.val_split)
        if self.val_fraction and not len(held_out):
            raise UserError(f"data.val_fraction={self.val_fraction}: it holds out no sample; set 0 or a larger share.")
        return kept, held_out

    @property
    def held_out(self) -> str:
        """What `hold_out` does, to stand behind a split's name."""
        if not self.val_fraction:
            return ""
        chosen = (
            f"stratified, seed {self.seed}" if self.val_split == "random" else f"the {self.val_split} of each class"
        )
        return f"; val: {self.val_fraction:g} of train, {chosen}"

    @property
    def steps_per_epoch(self) -> int:
        """Training batches per epoch; known after `setup`."""
        return len(self._train_batches())

    def train_dataloader(self) -> Loader:
        return self._loader(self.train_set, self._train_batches())

    def val_dataloader(self) -> list[Loader]:
        """One loader per name in `eval_names`."""
        return [self._eval_loader(name) for name in self.eval_names]

    def test_dataloader(self) -> Loader:
        return self._eval_loader("test")

    def _train_batches(self) -> TrainBatches:
        return TrainBatches(
            len(self.train_set),  # type: ignore[arg-type]
            self.batch_size,
            seed=self.seed,
            epoch_of=lambda: self.epoch_of(),
            repeats=self.repeats,
            drop_last=self.drop_last,
            rank=self.trainer.global_rank if self.trainer else 0,
            world=self._world,
        )

    def _eval_loader(self, name: str) -> Loader:
        samples = self.eval_sets[name]
        rank = self.trainer.global_rank if self.trainer else 0
        batches = EvalBatches(len(samples), self.eval_batch_size, rank=rank, world=self._world)  # type: ignore[arg-type]
        return self._loader(samples, batches)

    @property
    def _world(self) -> int:
        return self.trainer.world_size if self.trainer else 1

    def _loader(self, samples: Any, batches: TrainBatches | EvalBatches) -> Loader:
        workers = self._workers(samples)
        return DataLoader(
            samples,
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=_as_is,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=workers > 0,
            generator=torch.Generator().manual_seed(self.seed),  # the loader's own draws leave the global one alone
        )

    def _workers(self, samples: Any) -> int:
        if self.num_workers != "auto":
            return 0 if getattr(samples, "plain", False) else int(self.num_workers)
        if getattr(samples, "batched", False):  # on a GPU, the next augmented batch is made while it computes
            return int(torch.cuda.is_available() and not getattr(samples, "plain", True))
        local_devices = self.trainer.num_devices if self.trainer else 1
        return max(1, min(16, cores.usable().threads() // local_devices))


def _check_classes(name: str, train_set: Any) -> None:
    labels = getattr(train_set, "labels", None)
    if isinstance(labels, Tensor) and labels.ndim == 1 and len(labels) > 1 and bool((labels == labels[0]).all()):
        raise UserError(f"data={name}: all {len(labels)} training samples are of class {int(labels[0])}; give others.")


def _as_is(batch: Any) -> Any:
    """The data set makes whole batches: there is nothing to collate."""
    return batch
