"""CIFAR10-DVS (Li et al. 2017): 10,000 CIFAR-10 images shown to a DVS128 camera, in two published forms."""

from __future__ import annotations

import importlib.util
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from snnbench.data.events import splits
from snnbench.data.events.aedat import check_magic, read_aedat2
from snnbench.data.events.frames import Events
from snnbench.data.events.source import EventSource, Recording, check_numbers, numbered, one_sample, subfolders
from snnbench.data.events.splits import Sample
from snnbench.data.files import damaged
from snnbench.errors import UserError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class CIFAR10DVS(EventSource):
    """1000 recordings of each class, <class>/cifar10_<class>_<0-999>.<suffix>; no official split."""

    suffix: ClassVar[str]
    splits: ClassVar = {
        "first100_test": splits.first100_test,
        "last100_test": splits.last100_test,
        "last10pct_lexicographic": splits.last10pct_lexicographic,
        "random": splits.random,
    }

    def parts(self) -> list[str]:
        return list(CLASSES)

    def recordings(self) -> list[Recording]:
        found = []
        for folder in subfolders(self.folder, CLASSES.__contains__, f"the folders {', '.join(CLASSES)}"):
            label = CLASSES.index(folder.name)
            example = f"cifar10_{folder.name}_0.{self.suffix}"
            files = numbered(folder, rf"cifar10_{folder.name}_(\d+)\.{self.suffix}", example)
            if not self.subset:
                check_numbers(folder, [number for number, _ in files], range(1000))
            for number, path in files:
                found.append(Recording(path, (Sample(f"{folder.name}/{path.name}", label, "", number),)))
        return found

    def files(self, recordings: Sequence[Recording]) -> list[str]:
        return [recording.samples[0].name for recording in recordings]

    def read(self, recording: Recording) -> Iterator[Events]:
        yield self.read_file(recording.path)

    @abstractmethod
    def read_file(self, path: Path) -> Events:
        """The events of one file."""


class AEDAT2(CIFAR10DVS):
    """The original files, which the papers used; <root>/CIFAR10DVS-aedat2. Axes as SpikingJelly's."""

    name = "aedat2"
    suffix = "aedat"
    folder_name = "CIFAR10DVS-aedat2"
    archives: ClassVar = {
        "airplane.zip": "0afd5c4bf9ae06af762a77b180354fdd",
        "automobile.zip": "8438dfeba3bc970c94962d995b1b9bdd",
        "bird.zip": "a9c207c91c55b9dc2002dc21c684d785",
        "cat.zip": "52c63c677c2b15fa5146a8daf4d56687",
        "deer.zip": "b6bf21f6c04d21ba4e23fc3e36c8a4a3",
        "dog.zip": "f379ebdf6703d16e0a690782e62639c3",
        "frog.zip": "cad6ed91214b1c7388a5f6ee56d08803",
        "horse.zip": "e7cbbf77bec584ffbf913f00e682782a",
        "ship.zip": "41c7bd7d6b251be82557c6cce9a7d5c9",
        "truck.zip": "89f3922fd147d9aeff89e76a2b0b70a7",
    }
    how_to_get = (
        "By hand: put the ten zip files of https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671 into its "
        "folder, as they are or unpacked."
    )
    figshare: ClassVar = (7712788, 7712791, 7712794, 7712812, 7712815, 7712818, 7712842, 7712851, 7712836, 7712839)

    def fetch(self, root: Path) -> None:
        from torchvision.datasets.utils import download_and_extract_archive

        for (archive, md5), number in zip(self.archives.items(), self.figshare, strict=True):
            url = f"https://ndownloader.figshare.com/files/{number}"
            download_and_extract_archive(url, str(root / self.folder_name), filename=archive, md5=md5)

    def read_file(self, path: Path) -> Events:
        return read_aedat2(path)


class AEDAT4(CIFAR10DVS):
    """tonic's conversion; <root>/CIFAR10DVS. Needs the package aedat."""

    name = "aedat4"
    suffix = "aedat4"
    folder_name = "CIFAR10DVS"
    archives: ClassVar = {"CIFAR10DVS.zip": "ce3a4a0682dc0943703bd8f749a7701c"}
    how_to_get = "By hand: put https://figshare.com/ndownloader/files/38023437 there as CIFAR10DVS.zip, or unpacked."

    def fetch(self, root: Path) -> None:
        from tonic.datasets import CIFAR10DVS as TonicCIFAR10DVS

        TonicCIFAR10DVS(str(root))

    def open(self) -> None:
        if importlib.util.find_spec("aedat") is None:
            raise UserError(
                "data.source=aedat4: its files need the package aedat: pip install aedat. "
                "data.source=aedat2, the original files, does not."
            )
        import tonic.datasets  # noqa: F401 - once, before the processes are forked

    def read_file(self, path: Path) -> Events:
        from tonic.datasets import CIFAR10DVS as TonicCIFAR10DVS

        check_magic(path, b"#!AER-DAT4.0")
        try:
            events = one_sample(TonicCIFAR10DVS, path)
        except Exception as error:  # the decoder's own exceptions have no common base but this
            raise damaged(path, f"the decoder refuses it ({error})") from error
        return Events(events["x"], events["y"], events["p"], events["t"].astype(np.int64))
