"""N-MNIST (Orchard et al. 2015): MNIST's digits filmed by a moving event camera; read by tonic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from snnbench.data.events.frames import Events
from snnbench.data.events.source import EventSource, Recording, numbered, one_sample, subfolders
from snnbench.data.events.splits import Sample, by_part
from snnbench.data.files import damaged
from snnbench.errors import UserError

_DIGITS = [str(digit) for digit in range(10)]


class NMNIST(EventSource):
    """60,000 + 10,000 recordings of 34x34 pixels, <root>/NMNIST/{Train,Test}/<digit>/<number>.bin."""

    name = "tonic"
    folder_name = "NMNIST"
    height = width = 34
    splits: ClassVar = {"official": by_part}
    archives: ClassVar = {
        "train.zip": "20959b8e626244a1b502305a9e6e2031",
        "test.zip": "69ca8762b2fe404d9b9bad1103e97832",
    }
    how_to_get = (
        "By hand: put train.zip and test.zip of https://data.mendeley.com/datasets/468j46mzdv into its folder, as "
        "they are or unpacked to Train and Test."
    )
    per_class: ClassVar = {  # MNIST's
        "Train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        "Test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    }

    def parts(self) -> list[str]:
        return list(self.per_class)

    def fetch(self, root: Path) -> None:
        from tonic.datasets import NMNIST as TonicNMNIST

        for train in (True, False):
            TonicNMNIST(str(root), train=train)

    def recordings(self) -> list[Recording]:
        found = []
        for part, counts in self.per_class.items():
            if not (self.folder / part).is_dir():
                raise UserError(f"{self.folder} has no folder {part}. {self.how_to_get}")
            for folder in subfolders(self.folder / part, _DIGITS.__contains__, "the folders 0 to 9"):
                files = numbered(folder, r"(\d+)\.bin", "00001.bin")
                if not self.subset and len(files) != counts[int(folder.name)]:
                    raise UserError(
                        f"{folder} holds {len(files)} recordings, not {counts[int(folder.name)]}.\nDelete "
                        f"{self.folder} to have it fetched anew; data.subset=true takes what is there, marked."
                    )
                for number, path in files:
                    name = f"{part}/{folder.name}/{path.name}"
                    sample = Sample(name, int(folder.name), part.lower(), number)
                    found.append(Recording(path, (sample,)))
            missing = [digit for digit in _DIGITS if not (self.folder / part / digit).is_dir()]
            if missing and not self.subset:
                raise UserError(f"{self.folder / part} lacks the folders {', '.join(missing)}. {self.how_to_get}")
        return sorted(found, key=lambda recording: (recording.samples[0].part, recording.samples[0].number))

    def files(self, recordings: Sequence[Recording]) -> list[str]:
        return [recording.samples[0].name for recording in recordings]

    def open(self) -> None:
        import tonic.datasets  # noqa: F401 - once, before the processes are forked

    def read(self, recording: Recording) -> Iterator[Events]:
        from tonic.datasets import NMNIST as TonicNMNIST

        path, size = recording.path, recording.path.stat().st_size
        if size % 5:
            raise damaged(path, f"{size} bytes, not a multiple of 5: it ends in the middle of an event")
        events = one_sample(TonicNMNIST, path, first_saccade_only=False, stabilize=False)
        yield Events(events["x"], events["y"], events["p"], events["t"].astype(np.int64))
