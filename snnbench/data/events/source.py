"""What a published event data set is made of: recordings on the disk, and the samples cut from them."""

from __future__ import annotations

import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from snnbench.check import flag
from snnbench.data.archives import prove
from snnbench.data.events.frames import Events
from snnbench.data.events.splits import Sample, Split
from snnbench.data.files import check_present, folder_path, verification
from snnbench.data.tree import is_junk, spelt
from snnbench.errors import UserError
from snnbench.runs.recipe import OWN

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
        verify: Compare the archives beside the data with the published checksums, and the data with the archives; each
            once, and "full" once more. Without archives, or without this, results are marked as unverified.
        subset: Take any part of the data set; counts are not checked, and results are marked.

    Attributes:
        name: The source's name in configs and results.
        folder_name: The data set's folder below `root`.
        height: Rows of the sensor.
        width: Columns of the sensor.
        splits: Ways to divide them into training and test samples, by name.
        archives: The published archives, by path below the folder, with their MD5. Each class speaks for itself: one
            that inherits them, and may well read something else, proves nothing by them.
        doubt: Why the recordings are not known to be all of the published ones; empty where they are.
    """

    name: ClassVar[str]
    folder_name: ClassVar[str]
    height: ClassVar[int] = 128
    width: ClassVar[int] = 128
    splits: ClassVar[Mapping[str, Split]]
    archives: ClassVar[Mapping[str, str]]
    how_to_get: ClassVar[str]

    def __init__(
        self, root: str | Path, *, download: bool = True, verify: bool | str = True, subset: bool = False
    ) -> None:
        self.root = folder_path("data.root", root)
        self.download, self.verify = flag("data.download", download), verification(verify)
        self.subset = flag("data.subset", subset)
        self.folder = self.root / self.folder_name
        self.provenance = "subset" if subset else "unverified"
        self.doubt = "data.subset=true" if subset else "" if verify else "data.verify=false"

    def prepare(self) -> None:
        """Fetch the files where they are missing, and find out whether they are the published ones.

        Raises:
            UserError: Files are missing, or an archive is not the published one.
        """
        if self.subset:
            if not self.folder.is_dir():
                raise UserError(
                    f"no data in {spelt(self.folder)} (data.subset=true fetches nothing). Set paths.data=<folder>."
                )
            return
        check_present(
            self.folder,
            self.parts(),
            archives=[f"{self.folder_name}/{archive}" for archive in self.archives if not archive.startswith("..")],
            how_to_get=self.how_to_get,
            fetch=self.fetch if self.download else None,
        )
        if self.verify:
            self._prove()

    def _prove(self) -> None:
        archives = vars(type(self)).get("archives")
        if not archives:
            self.doubt = f"{type(self).__name__} names no published archives"
        elif prove(self.folder, self.decisive_files, archives, again=self.verify == "full"):
            self.provenance, self.doubt = "real", ""
        else:
            self.doubt = f"{', '.join(archives)} not beside the data, or without some of it"
            logging.getLogger("snnbench").info(
                "%s: without the archives %s beside the data they cannot be verified; results say so",
                spelt(self.folder),
                ", ".join(archives),
            )

    def decisive_files(self, recordings: Sequence[Recording] | None = None) -> list[str]:
        """The files that decide the samples; those of a class that does not tell its own are all that there are."""
        recordings = self.recordings() if recordings is None else recordings
        cls = type(self)
        own = cls.__module__.startswith(f"{OWN}.") or "files" in vars(cls)
        return self.files(recordings) if own else EventSource.files(self, recordings)

    def files(self, recordings: Sequence[Recording]) -> list[str]:
        """The files that decide the samples, by their names below the folder, in an order of their own.

        Here all: the recordings, and whatever lies beside them but the archives and what archivers leave about.
        """
        found = [os.path.relpath(recording.path, self.folder) for recording in recordings]
        found += [name for name in _all_files(self.folder) if name not in getattr(self, "archives", {})]
        return list(dict.fromkeys(found))

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


def one_sample(dataset: type[Any], path: Path, **options: Any) -> Any:
    """The events of one file, as tonic's class reads them.

    Its own look through the folder is left out: it takes long, and stumbles over what archivers leave about.

    Args:
        dataset: The class.
        path: The file.
        options: What its constructor would set besides.
    """
    reader = object.__new__(dataset)
    for name in ("transform", "target_transform", "transforms"):
        setattr(reader, name, None)
    for name, value in {"data": [str(path)], "targets": [0], **options}.items():
        setattr(reader, name, value)
    events, _ = reader[0]
    return events


def subfolders(folder: Path, known: Callable[[str], bool], allowed: str) -> list[Path]:
    """The folders inside `folder`, by name; an unknown one is an error, what archivers leave about is skipped."""
    inside = [path for path in _inside(folder) if not path.name.startswith("_")]
    found = [path for path in inside if path.is_dir()]
    for path in inside:
        if known(path.name) and not path.is_dir():
            raise UserError(f"{spelt(path)} is no folder, or a link to nothing. Unpack it again.")
    for path in found:
        if not known(path.name):
            raise UserError(f"{spelt(path)} does not belong here: {spelt(folder)} has {allowed}. Move it away.")
    return found


def numbered(folder: Path, pattern: str, suffix: str) -> list[tuple[int, Path]]:
    """The files inside `folder` whose names match `pattern`, with its group's number, ascending.

    Raises:
        UserError: A file does not match, two have the same number, or there is none.
    """
    found: dict[int, Path] = {}
    for path in _inside(folder):
        match = re.fullmatch(pattern, path.name)
        if match is None:
            raise UserError(
                f"{spelt(path)} does not belong here: the recordings are named like {suffix}. Move it away."
            )
        number = int(match[1])
        if number in found:
            raise UserError(f"{spelt(path)} and {found[number].name} have the same number. Move one away.")
        found[number] = path
    if not found:
        raise UserError(f"{spelt(folder)} has no recordings, such as {suffix}. Unpack them again, or move it away.")
    return sorted(found.items())


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not is_junk(path.name))
    except OSError as error:
        raise UserError(f"{spelt(folder)} cannot be read ({error.strerror}). Unpack it again.") from error


def _all_files(folder: Path) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_junk(name))
        for name in sorted(names):
            if not is_junk(name):
                yield os.path.relpath(os.path.join(parent, name), folder)


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
