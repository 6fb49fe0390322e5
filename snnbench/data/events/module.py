"""Event-camera data: one module for every source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snnbench.check import choice, count, counts, flag, shown
from snnbench.data.augment import Augment, augment_of
from snnbench.data.events.cache import Pack, Plan, plan
from snnbench.data.events.clips import INTERPOLATIONS, ClipBatchTransform, RandomFrames, to_input
from snnbench.data.events.dataset import ClipDataset
from snnbench.data.events.frames import ORDERS, ORIGINS, REMAINDERS, SLICINGS, FrameRule, Windows
from snnbench.data.events.pack import ensure
from snnbench.data.events.source import EventSource
from snnbench.data.files import folder_path
from snnbench.data.module import BenchData
from snnbench.data.splits import spread
from snnbench.errors import UserError
from snnbench.runs.fingerprint import Files, Fingerprint
from snnbench.seeding import seed_cpu

VALUES = ("counts", "binary", "binary_merged", "bytes")
TRIED = 8  # draws of an augmentation


class EventData(BenchData):
    """Frames of event recordings, packed once. See `BenchData` for the other arguments.

    A loader yields integer counts [B, T, 2, H, W]; on the device they become float32 [T, B, 2, H, W], are resized and,
    in training, augmented, each clip by random numbers that follow from (seed, epoch, sample) alone.

    Args:
        sources: Makes each source: `sources[source](root, download=..., verify=..., subset=...)`.
        source: Which of them.
        root: Folder of all data sets.
        split: Which samples are test samples; one of the source's.
        split_seed: For the split "random".
        T: Number of frames.
        slicing: Equal slices by event "number" or by "time", or "windows" of a fixed duration.
        remainder: "last" keeps every event; "drop" leaves out what the division leaves over.
        time_order: "strict", "file" or "sort"; see `FrameRule`.
        windows: For slicing "windows": `width`, `starts` and `origin` of `Windows`; else None.
        resize: How frames reach `image_size`: "nearest" or "bilinear".
        antialias: Whether "bilinear" averages over all pixels that it shrinks to one.
        values: What a pixel holds: "counts", "binary", "binary_merged", or "bytes" as in a PIL image; see `to_input`.
        cache: Folder of the packed frames.
        augment: What happens to training clips; None: nothing.
        train_frames: With how many of the T frames, drawn for each batch, the network is trained; None: with all.
        download: Try to fetch missing files.
        verify: Compare archives with the published checksums, and recordings with archives; "full" reads all of them
            once more.
        subset: Take whatever part of the data set is there; such results are marked "subset".
        limit: Use only `limit` samples of each part, classes taking turns (`snnbench.data.splits.spread`); such results
            are marked "subset".
    """

    def __init__(
        self,
        *,
        sources: Mapping[str, Callable[..., EventSource]],
        source: str,
        root: str | Path,
        split: str,
        T: int,
        split_seed: int = 0,
        slicing: str = "number",
        remainder: str = "last",
        time_order: str = "strict",
        windows: Mapping[str, Any] | None = None,
        resize: str = "bilinear",
        antialias: bool = True,
        values: str = "counts",
        cache: str | Path,
        augment: Augment | None = None,
        train_frames: int | None = None,
        download: bool = True,
        verify: bool | str = True,
        subset: bool = False,
        limit: int | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if self.in_channels != 2:
            raise UserError(f"data.in_channels={self.in_channels}: must be 2, one for each polarity of events.")
        choice("data.source", source, sources)
        self.source = sources[source](root, download=download, verify=verify, subset=subset)
        choice("data.split", split, self.source.splits, hint=f"data.source={source} has no others.")
        self.rule = _rule(T, slicing, remainder, time_order, windows)
        self.split_name, self.split_seed = split, count("data.split_seed", split_seed, 0)
        if split_seed and split != "random":
            raise UserError(f"data.split_seed={split_seed}: has no effect on data.split={split}; only random is drawn.")
        self.resize = choice("data.resize", resize, INTERPOLATIONS)
        self.values = choice("data.values", values, VALUES)
        self.antialias = flag("data.antialias", antialias)
        if values == "bytes" and not antialias:
            raise UserError("data.antialias=false: must be true with data.values=bytes, as PIL does it.")
        self.limit = count("data.limit", limit, also=(None,))
        self.cache = folder_path("data.cache", cache)
        self.augment = augment_of(augment)
        if self.augment.normalized or self.augment.mixed:
            raise UserError(f"augment={self.augment.name}: it is for normalised images; event clips are counts.")
        self.batch_transform = ClipBatchTransform.of(self.augment, self.num_classes, lambda: self.epoch_of())
        if train_frames is not None:
            self.batch_transform = self._drawn(train_frames)
        self.pack: Pack | None = None
        self._files: Files | None = None
        seeded = f" seed {split_seed}" if split == "random" else ""
        self.split = f"{split}{seeded} of source {source}{self.held_out}"
        shown = {"resize": resize, "antialias": antialias, "values": values}
        self.details = {"source": source, "split": split, "frames": self.rule.described(), **shown}

    def _drawn(self, frames: int) -> RandomFrames:
        if self.augment.batch:
            raise UserError(
                f"data.train_frames={frames}: must be null with augment={self.augment.name}, of whole batches."
            )
        return RandomFrames(count("data.train_frames", frames, most=self.rule.T, hint="data.T is how many there are."))

    @property
    def provenance(self) -> str:  # type: ignore[override]
        """What the source proves; "subset" where only part is used. A subclass has to prove its own data."""
        if self.limit is not None:
            return "subset"
        return self.source.provenance if type(self) is EventData else "unverified"

    @property
    def doubt(self) -> str:
        if self.limit is not None:
            return f"data.limit={self.limit}"
        return self.source.doubt if type(self) is EventData else super().doubt

    def files(self) -> Files:
        """The recordings, and what else the source reads."""
        return {**(self._files or self.plan().files), "published": self.source.provenance == "real"}

    def fingerprint(self) -> Fingerprint:
        return {**super().fingerprint(), "source": type(self.source).__name__}

    def plan(self) -> Plan:
        """What the packed cache shall hold; the source's files are there."""
        return plan(self.cache, str(self.name), self.source, self.rule)

    def prepare_data(self) -> None:
        self.source.prepare()
        wanted = self.plan()
        self.pack, self._files = ensure(wanted), wanted.files

    def load(self) -> tuple[ClipDataset, dict[str, ClipDataset]]:
        if self.pack is None:
            self.prepare_data()
        assert self.pack is not None
        if int(self.pack.labels.max()) >= self.num_classes:
            raise UserError(f"data.num_classes={self.num_classes}: the labels go up to {self.pack.labels.max()}.")
        parts = self.source.splits[self.split_name](self.pack.samples, self.split_seed)
        positions = {name: np.flatnonzero(parts == name) for name in ("train", "test")}
        for name, members in positions.items():
            if not len(members):
                raise UserError(
                    f"data.split={self.split_name}: the {name} part is empty; {self.source.folder} lacks it."
                )
        if self.val_fraction:
            labels = torch.from_numpy(self.pack.labels[positions["train"]])
            kept, held_out = self.hold_out(labels)
            positions["val"] = positions["train"][held_out.numpy()]
            positions["train"] = positions["train"][kept.numpy()]
        self._try_augment()
        train = self._part(positions.pop("train"), keyed=bool(self.augment.sample))
        return train, {name: self._part(members) for name, members in positions.items()}

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        """On the device: (counts [B, T, 2, H, W], y[, keys]) to (x float32 [T, B, 2, H, W], y)."""
        counts, labels, *keys = batch
        x = to_input(counts, (self.image_size, self.image_size), self.resize, self.antialias, self.values)
        x = self._augmented(x, keys[0]) if keys else x
        plugin = getattr(self.trainer, "precision_plugin", None)  # it has seen the counts, which are no floats
        return (plugin.convert_input(x) if plugin else x), labels

    def _part(self, positions: NDArray[np.int64], keyed: bool = False) -> ClipDataset:
        assert self.pack is not None
        if self.limit is not None:
            positions = positions[spread(torch.from_numpy(self.pack.labels[positions]), self.limit).numpy()]
        return ClipDataset(self.pack, positions, keyed=keyed)

    def _augmented(self, x: Tensor, keys: list[tuple[int, int]]) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            for b, (draw, position) in enumerate(keys):
                seed_cpu(self.seed, int(draw), int(position))
                x[:, b] = self._transform(x[:, b])
        return x

    def _transform(self, clip: Tensor) -> Tensor:
        for transform in self.augment.sample:
            clip = transform(clip)
        return clip

    def _try_augment(self) -> None:
        """Refuse an augmentation that does not fit clips, before any training."""
        clip = torch.zeros(self.rule.T, 2, self.image_size, self.image_size)
        try:
            with torch.random.fork_rng(devices=[]):
                for draw in range(TRIED):  # one may happen to do nothing
                    seed_cpu(0, draw, 0)
                    shape = self._transform(clip).shape
        except Exception as error:  # a transform for images may fail in any way
            raise UserError(
                f"augment={self.augment.name}: it does not work on event clips ({type(error).__name__}: {error}). "
                "Those named dvs_... do."
            ) from error
        if shape != clip.shape:
            raise UserError(f"augment={self.augment.name}: clips come out as {tuple(shape)}, not {tuple(clip.shape)}.")


def _rule(T: int, slicing: str, remainder: str, time_order: str, windows: Mapping[str, Any] | None) -> FrameRule:
    rule = FrameRule(
        count("data.T", T),
        choice("data.slicing", slicing, SLICINGS),
        choice("data.remainder", remainder, REMAINDERS),
        choice("data.time_order", time_order, ORDERS),
        None if windows is None else _windows(windows, T),
    )
    if (slicing == "windows") != (windows is not None):
        raise UserError(f"data.slicing={slicing}: data.windows says which windows, and is null for other slicings.")
    if slicing == "windows" and remainder != "drop":
        raise UserError(f"data.remainder={remainder}: windows leave out what lies outside of them; set drop.")
    if slicing != "number" and time_order == "file":
        raise UserError("data.time_order=file: slices by time need ascending times; set strict or sort.")
    return rule


def _windows(given: Mapping[str, Any], T: int) -> Windows:
    if not isinstance(given, Mapping) or set(given) != set(Windows._fields):
        raise UserError(f"data.windows={shown(given)}: must have the keys {', '.join(Windows._fields)}, and no others.")
    hint = f"One for each of T={T} frames."
    return Windows(
        count("data.windows.width", given["width"]),
        counts("data.windows.starts", given["starts"], least=-(2**62), length=T, hint=hint),
        choice("data.windows.origin", given["origin"], ORIGINS),
    )
