"""What a published event data set is made of: recordings on the disk, and the samples cut from them."""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from snnbench.check import flag
from snnbench.data.events.archives import archives_are_published
from snnbench.data.events.frames import Events
from snnbench.data.events.splits import Sample, Split
from snnbench.data.files import check_present
from snnbench.errors import UserError

MAX_NAMED = 5


class Recording(NamedTuple):
    """A file and the samples that are cut from it, in their order."""

    path: Path
    samples: tuple[Sample, ...]


class EventSource(ABC):
    """One published form of an event data set.

    Args:
        root: The folder that holds, or will hold, the data set's own folder.
        download: Try to fetch what is missing.
        verify: Compare the archives beside the data with the published checksums. Without them, or without this,
            results are marked as unverified.
        subset: Take any part of the data set; counts are not checked, and results are marked.

    Attributes:
        name: The source's name in configs and results.
        folder_name: The data set's folder below `root`.
        height: Rows of the sensor.
        width: Columns of the sensor.
        splits: Ways to divide them into training and test samples, by name.
        archives: The published archives, by path below the folder, with their MD5.
    """

    name: ClassVar[str]
    folder_name: ClassVar[str]
    height: ClassVar[int] = 128
    width: ClassVar[int] = 128
    splits: ClassVar[Mapping[str, Split]]
    archives: ClassVar[Mapping[str, str]]
    how_to_get: ClassVar[str]

    def __init__(self, root: str | Path, *, download: bool = True, verify: bool = True, subset: bool = False) -> None:
        self.root = Path(root).expanduser()
        self.download, self.verify = flag("data.download", download), flag("data.verify", verify)
        self.subset = flag("data.subset", subset)
        self.folder = self.root / self.folder_name
        self.provenance = "subset" if subset else "unverified"

    def prepare(self) -> None:
        """Fetch the files where they are missing, and find out whether they are the published ones.

        Raises:
            UserError: Files are missing, or an archive is not the published one.
        """
        if self.subset:
            if not self.folder.is_dir():
                raise UserError(
                    f"no data in {self.folder} (data.subset=true fetches nothing). Set paths.data=<folder>."
                )
            return
        check_present(
            self.folder,
            self.parts(),
            archives=[f"{self.folder_name}/{archive}" for archive in self.archives if not archive.startswith("..")],
            how_to_get=self.how_to_get,
            fetch=self.fetch if self.download else None,
        )
        if self.verify and archives_are_published(self.folder, self.archives):
            self.provenance = "real"
        elif self.verify:
            logging.getLogger("snnbench").info(
                "%s: without the archives %s beside the data they cannot be verified; results say so",
                self.folder,
                ", ".join(self.archives),
            )

    @abstractmethod
    def parts(self) -> list[str]:
        """The folders (or files) that a complete data set has below its folder."""

    @abstractmethod
    def fetch(self, root: Path) -> None:
        """Download and unpack everything below `root`, which is empty but for archives fetched by hand."""

    @abstractmethod
    def recordings(self) -> list[Recording]:
        """All recordings in the data set's own order, or in one that depends on their names alone.

        Raises:
            UserError: A recording is missing, or there is one too many.
        """

    @abstractmethod
    def read(self, recording: Recording) -> Iterator[Events]:
        """The events of each of the recording's samples.

        Raises:
            UserError: The file is damaged or of another format.
        """

    def open(self) -> None:  # noqa: B027 - not every source has something to do
        """Get ready to `read`: once, before the processes that do are forked.

        Raises:
            UserError: A package is missing.
        """


def quietly(dataset: type[Any]) -> type[Any]:
    """tonic's class without its own, loose check of the files, which would start a download.

    The name stays, since tonic makes the folder's name from it.
    """
    return type(dataset.__name__, (dataset,), {"_check_exists": lambda self: True})


def subfolders(folder: Path, known: Callable[[str], bool], allowed: str) -> list[Path]:
    """The folders inside `folder`, by name; an unknown one is an error, hidden ones are skipped."""
    found = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._")
    for path in found:
        if not known(path.name):
            raise UserError(f"{path} does not belong here: {folder} has {allowed}. Move it away.")
    return found


def numbered(folder: Path, pattern: str, suffix: str) -> list[tuple[int, Path]]:
    """The files inside `folder` whose names match `pattern`, with its group's number, ascending.

    Raises:
        UserError: A file with the suffix does not match, two have the same number, or one is of another kind.
    """
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        match = re.fullmatch(pattern, path.name)
        if match is None:
            raise UserError(f"{path} does not belong here: the recordings are named like {suffix}. Move it away.")
        number = int(match[1])
        if number in found:
            raise UserError(f"{path} and {found[number].name} have the same number. Move one away.")
        found[number] = path
    return sorted(found.items())


def check_numbers(folder: Path, found: Sequence[int], expected: range) -> None:
    """Raise a UserError naming the numbers that are missing from, or too many in, `folder`."""
    missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or extra:
        words = [f"lacks {_some(missing)}"] if missing else []
        words += [f"has {_some(extra)} too many"] if extra else []
        raise UserError(
            f"{folder} {' and '.join(words)}: it should hold the {len(expected)} recordings numbered {expected.start} "
            f"to {expected.stop - 1}.\nDelete the data set's folder to have it fetched anew; data.subset=true takes "
            "what is there, and marks results."
        )


def _some(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:MAX_NAMED]))
    return (
        f"recording {shown}" if len(numbers) <= MAX_NAMED else f"recordings {shown} and {len(numbers) - MAX_NAMED} more"
    )
