"""DVS128 Gesture (Amir et al. 2017): 11 hand gestures of 29 people, in two published forms."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from snnbench.data.events.aedat import read_aedat3
from snnbench.data.events.frames import Events
from snnbench.data.events.source import EventSource, Recording, numbered, one_sample, subfolders
from snnbench.data.events.splits import Parts, Sample, by_part
from snnbench.data.files import damaged
from snnbench.data.tree import is_junk, spelt
from snnbench.errors import UserError

CLASSES = 11
_HEADER = ["class", "startTime_usec", "endTime_usec"]


def first78(samples: Sequence[Sample], seed: int) -> Parts:
    """As the publisher divided them, without all but the first 78 of the training recordings: 936 samples (PLIF).

    The SpikingJelly of that time gave each of its threads the same number of recordings and forgot what was left over.
    Of 98 recordings, 78 can only have been 26 times 3, 39 times 2 or 78 times 1: each time the first 78 of the list.
    """
    parts = by_part(samples, seed)
    recordings = [sample.name.partition("#")[0] for sample in samples]
    training = list(dict.fromkeys(name for name, part in zip(recordings, parts, strict=True) if part == "train"))
    parts[np.isin(recordings, training[78:])] = ""
    return parts


class IBMGesture(EventSource):
    """The original recordings in AEDAT 3.1, each cut up by its label file: one sample per row; <root>/DvsGesture.

    A sample has the events with start <= t < end. Rows may overlap (user22_led's do) and repeat a class. Recordings are
    in the order of trials_to_train.txt, then of trials_to_test.txt.
    """

    name = "ibm"
    folder_name = "DvsGesture"
    splits: ClassVar = {"official": by_part, "first78": first78}
    archives: ClassVar = {"../DvsGesture.tar.gz": "8a5c71fb11e24e5ca5b11866ca6c00a1"}
    lists: ClassVar = {"train": ("trials_to_train.txt", 98, 1176), "test": ("trials_to_test.txt", 24, 288)}
    how_to_get = (
        "It must be fetched by hand: DvsGesture.tar.gz from https://ibm.ent.box.com/s/3hiq58ww1pbbjrinh367ykfdf60xsfm8 "
        "(folder 50167556794), put beside that folder or unpacked there. data.source=tonic downloads by itself."
    )

    def parts(self) -> list[str]:
        return [name for name, _, _ in self.lists.values()]

    def fetch(self, root: Path) -> None:
        from torchvision.datasets.utils import extract_archive

        archive = self.root / "DvsGesture.tar.gz"
        if not archive.is_file():
            raise OSError("there is no public link")
        extract_archive(str(archive), str(root))

    def recordings(self) -> list[Recording]:
        found = []
        for part, (list_name, files, samples) in self.lists.items():
            path = self.folder / list_name
            if not path.is_file():
                raise UserError(f"{self.folder} has no {list_name}. {self.how_to_get}")
            names = _listed(path)
            mine = [self._recording(name, part) for name in names]
            count = sum(len(recording.samples) for recording in mine)
            if not self.subset and (len(mine), count) != (files, samples):
                raise UserError(
                    f"{path} and the label files give {len(mine)} recordings and {count} samples, not {files} and "
                    f"{samples}.\nUnpack the archive anew; data.subset=true takes what is there, and marks results."
                )
            found += mine
        listed = {recording.path.name for recording in found}
        others = (path for path in sorted(self.folder.glob("*.aedat")) if not is_junk(path.name))
        extra = [path for path in others if path.name not in listed]
        if extra and not self.subset:
            raise UserError(f"{spelt(extra[0])} is in neither {' nor '.join(self.parts())}. Move it away.")
        return found

    def files(self, recordings: Sequence[Recording]) -> list[str]:
        names = [recording.path.name for recording in recordings]
        return [*names, *(self._labels_path(Path(name)).name for name in names), *self.parts()]

    def _recording(self, name: str, part: str) -> Recording:
        path = self.folder / name
        match = re.fullmatch(r"user(\d+)_\w+\.aedat", name)
        if match is None or not path.is_file():
            raise UserError(f"{path} is missing, but {self.lists[part][0]} lists it. {self.how_to_get}")
        rows = read_labels(self._labels_path(path))
        samples = [Sample(f"{name}#{i}", label, part, int(match[1])) for i, (label, _, _) in enumerate(rows)]
        return Recording(path, tuple(samples))

    def read(self, recording: Recording) -> Iterator[Events]:
        events = read_aedat3(recording.path)
        for _, start, end in read_labels(self._labels_path(recording.path)):
            inside = (events.t >= start) & (events.t < end)
            yield events.select(inside)

    @staticmethod
    def _labels_path(path: Path) -> Path:
        return path.with_name(f"{path.stem}_labels.csv")


def _listed(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise damaged(path, f"it is no text ({getattr(error, 'strerror', None) or error})") from error


def read_labels(path: Path) -> list[tuple[int, int, int]]:
    """The rows of a label file: class from 0, start and end in microseconds.

    Raises:
        UserError: The file is missing, or a row makes no sense.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing. {IBMGesture.how_to_get}")
    try:
        with path.open(newline="") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, ValueError, csv.Error) as error:
        raise damaged(path, f"it is no text ({getattr(error, 'strerror', None) or error})") from error
    if not lines or [word.strip() for word in lines[0]] != _HEADER:
        raise damaged(path, f"its first line is not {','.join(_HEADER)}")
    rows = []
    for number, line in enumerate(lines[1:], 2):
        try:
            label, start, end = map(int, line)
        except ValueError as error:
            raise damaged(path, f"line {number} is not three whole numbers: {','.join(line)}") from error
        if not 1 <= label <= CLASSES:
            raise damaged(path, f"line {number} has class {label}; there are 1 to {CLASSES}")
        if end <= start:
            raise damaged(path, f"line {number} ends at {end} us, before it starts at {start} us")
        rows.append((label - 1, start, end))
    if not rows:
        raise damaged(path, "it has no rows")
    return rows


class TonicGesture(EventSource):
    """tonic's cut recordings, one .npy per recording and class, times in ms; <root>/DVSGesture."""

    name = "tonic"
    folder_name = "DVSGesture"
    splits: ClassVar = {"tonic": by_part}
    archives: ClassVar = {
        "ibmGestureTrain.tar.gz": "3a8f0d4120a166bac7591f77409cb105",
        "ibmGestureTest.tar.gz": "56070e45dadaa85fff82e0fbfbc06de5",
    }
    counts: ClassVar = {"ibmGestureTrain": (98, 1077), "ibmGestureTest": (24, 264)}
    how_to_get = (
        "By hand: put https://figshare.com/ndownloader/files/38022171 as ibmGestureTrain.tar.gz and .../38020584 as "
        "ibmGestureTest.tar.gz there, as they are or unpacked."
    )

    def parts(self) -> list[str]:
        return list(self.counts)

    def fetch(self, root: Path) -> None:
        from tonic.datasets import DVSGesture

        for train in (True, False):
            DVSGesture(str(root), train=train)

    def recordings(self) -> list[Recording]:
        found = []
        for part, (folders, samples) in self.counts.items():
            if not (self.folder / part).is_dir():
                raise UserError(f"{self.folder} has no folder {part}. {self.how_to_get}")
            mine = self._part(part)
            people = {recording.path.parent for recording in mine}
            if not self.subset and (len(people), len(mine)) != (folders, samples):
                raise UserError(
                    f"{self.folder / part} has {len(mine)} samples in {len(people)} folders, not {samples} in "
                    f"{folders}.\nDelete {self.folder} to have it fetched anew; data.subset=true takes what is there."
                )
            found += mine
        return found

    def _part(self, part: str) -> list[Recording]:
        pattern = re.compile(r"user(\d+)_\w+")
        found = []
        for folder in subfolders(self.folder / part, lambda name: bool(pattern.fullmatch(name)), "userNN_<light>"):
            match = pattern.fullmatch(folder.name)
            assert match
            for label, path in numbered(folder, r"(\d+)\.npy", "0.npy"):
                if label >= CLASSES:
                    raise UserError(f"{path}: there are classes 0 to {CLASSES - 1} only. Move it away.")
                name = f"{part}/{folder.name}/{path.name}"
                sample = Sample(name, label, part.removeprefix("ibmGesture").lower(), int(match[1]))
                found.append(Recording(path, (sample,)))
        return sorted(found, key=lambda r: (r.samples[0].number, r.path.parent.name, r.samples[0].label))

    def files(self, recordings: Sequence[Recording]) -> list[str]:
        return [recording.samples[0].name for recording in recordings]

    def open(self) -> None:
        import numpy.lib.recfunctions  # noqa: F401 - tonic uses it without importing it
        import tonic.datasets  # noqa: F401 - once, before the processes are forked

    def read(self, recording: Recording) -> Iterator[Events]:
        from tonic.datasets import DVSGesture

        path = recording.path
        try:
            raw = np.load(path, mmap_mode="r")
        except (ValueError, OSError, EOFError) as error:
            raise damaged(path, f"it is no .npy array ({error})") from error
        if raw.ndim != 2 or raw.shape[1] != 4:
            raise damaged(path, f"its array is of shape {raw.shape}, not [N, 4]")
        if not len(raw):
            raise damaged(path, "it has no events")
        events = one_sample(DVSGesture, path)
        yield Events(events["x"], events["y"], events["p"], events["t"])
