"""The packed cache: all frames of a data set in one .npy, with a .json beside it that says what they are.

The .npy holds integer counts [N, T, 2, H, W] of the sensor's own size. Both files are named by a hash of everything
that shapes them: the rule of slicing, the sensor, each sample's name, label and part, the content of all files that the
source reads (recordings, label files, lists), and the code of a source. They hold no time, host or path, so that two
builds are equal byte for byte. The .json is written last: without it, or with one that does not fit, there is no cache.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snnbench.data.events.frames import FrameRule
from snnbench.data.events.source import EventSource, Recording
from snnbench.data.events.splits import Sample
from snnbench.data.fingerprint import of_files
from snnbench.data.tree import survey
from snnbench.errors import UserError
from snnbench.files import write_text
from snnbench.runs.code import code_of
from snnbench.runs.fingerprint import Files

FORMAT = 2


class Plan(NamedTuple):
    """What a cache shall hold, and where it belongs: of the source's `decisive` files as they are in `state`."""

    folder: Path
    dataset: str
    source: EventSource
    rule: FrameRule
    recordings: list[Recording]
    identity: dict[str, Any]
    name: str
    files: Files
    decisive: list[str]
    state: str

    @property
    def frames_path(self) -> Path:
        return self.folder / f"{self.name}.npy"

    @property
    def header_path(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def stamp_path(self) -> Path:
        """Notes which state of the two files was last found to be whole; a convenience, never trusted further."""
        return self.folder / f".{self.name}.checked"

    @property
    def samples(self) -> list[Sample]:
        return [sample for recording in self.recordings for sample in recording.samples]

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        return len(self.samples), self.rule.T, 2, self.source.height, self.source.width


def plan(folder: Path, dataset: str, source: EventSource, rule: FrameRule) -> Plan:
    """Look at the recordings and name the cache for them.

    Raises:
        UserError: A recording is missing, too many, or cannot be read.
    """
    recordings = source.recordings()
    listing = hashlib.sha256()
    for path, samples in recordings:
        line = [os.path.relpath(path, source.folder), [list(sample) for sample in samples]]
        listing.update(json.dumps(line).encode() + b"\n")
    decisive = source.decisive_files(recordings)
    found = survey(source.folder, decisive)
    files = of_files(source.folder, decisive, again=source.verify == "full", always=True, found=found)
    identity = {
        "format": FORMAT,
        "dataset": dataset,
        "source": source.name,
        "code": _code(type(source)),
        "frames": rule.described(),
        "sensor": [source.height, source.width],
        "recordings": listing.hexdigest(),
        "content": files["content"],
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    name = f"{_start(dataset, source, rule)}{digest}"
    return Plan(folder, dataset, source, rule, recordings, identity, name, files, decisive, found.state)


def _start(dataset: str, source: EventSource, rule: FrameRule) -> str:
    return f"{dataset}-{source.name}-T{rule.T}-{rule.slicing}-{rule.remainder}-"


def _code(source: type[EventSource]) -> int | str:
    """The revision of a source of this project, or a digest of the code of any other."""
    target = f"{source.__module__}.{source.__qualname__}"
    try:
        return code_of({"_target_": target})[target]
    except (UserError, KeyError, OSError, SyntaxError):  # of a class that was typed in, there is only its name
        return target


def unused(plan: Plan) -> str:
    """Which pack beside the one that is wanted was made by the same rule, and why it is not it; or an empty string."""
    for path in sorted(plan.folder.glob(f"{glob.escape(_start(plan.dataset, plan.source, plan.rule))}*.json")):
        with suppress(OSError, ValueError, AttributeError):
            header = json.loads(path.read_text())
            other = [key for key, value in plan.identity.items() if header.get(key) != value]
            if other:
                return f"{path.stem} is of other {', '.join(other)}"
    return ""


class Pack:
    """A finished cache, mapped into memory when first read; processes that read it share its pages.

    Attributes:
        labels: int64 [N].
        samples: What each row is.
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path, self.header = path, header
        columns = (header["names"], header["labels"], header["parts"], header["numbers"])
        self.samples = [Sample(*row) for row in zip(*columns, strict=True)]
        self.labels = np.array(header["labels"], np.int64)
        self._frames: NDArray[np.unsignedinteger] | None = None

    @property
    def frames(self) -> NDArray[np.unsignedinteger]:
        """Counts [N, T, 2, H, W], read-only."""
        if self._frames is None:
            self._frames = np.load(self.path, mmap_mode="r")
        return self._frames

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_frames": None}  # a memory map would be pickled by value

    def __len__(self) -> int:
        return len(self.samples)


def look(plan: Plan, *, thorough: bool = False) -> Pack | str:
    """The pack, or what is wrong with it; an empty string where there is none.

    The checksums are compared unless both files are in the state in which they were last found whole.
    """
    if not plan.frames_path.exists() and not plan.header_path.exists():
        return ""
    try:
        header = json.loads(plan.header_path.read_text())
        for key, value in plan.identity.items():
            if header[key] != value:
                return f"it is of another {key}: {header[key]}, not {value}"
        pack = Pack(plan.frames_path, header)
        frames = pack.frames
        announced = (tuple(header["shape"]), np.dtype(header["dtype"]))
        if (frames.shape, frames.dtype) != announced or frames.shape != plan.shape or len(pack) != len(frames):
            return f"it holds {frames.dtype} {frames.shape}, not {announced[1]} {plan.shape}"
        checksums = header["crc32"]
    except FileNotFoundError as error:
        return f"{Path(str(error.filename)).name} is missing"
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        return f"it cannot be read ({type(error).__name__}: {error})"
    if thorough or not _is_stamped(plan):
        for index, expected in enumerate(checksums):
            if zlib.crc32(frames[index]) != expected:
                return f"the checksum of sample {index} ({header['names'][index]}) is wrong"
        stamp(plan)
    return pack


def write_header(plan: Plan, dtype: np.dtype[Any], highest: int, events: int, checksums: Sequence[int]) -> None:
    """Write the .json, one key a line; from then on the cache is finished."""
    names, labels, parts, numbers = zip(*plan.samples, strict=True)
    header = {
        **plan.identity,
        "shape": plan.shape,
        "axes": "sample, T, polarity (0 OFF, 1 ON), row, column",
        "dtype": dtype.name,
        "highest_count": highest,
        "events": events,
        "names": names,
        "labels": labels,
        "parts": parts,
        "numbers": numbers,
        "crc32": checksums,
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in header.items()]
    write_text(plan.header_path, "{\n" + ",\n".join(lines) + "\n}\n")


def stamp(plan: Plan) -> None:
    """Note that the two files, as they are now, are whole."""
    with suppress(OSError):  # a read-only folder: they are checked again next time
        write_text(plan.stamp_path, _state(plan))


def _is_stamped(plan: Plan) -> bool:
    try:
        return plan.stamp_path.read_text() == _state(plan)
    except OSError:
        return False


def _state(plan: Plan) -> str:
    states = [os.stat(path) for path in (plan.frames_path, plan.header_path)]
    return " ".join(f"{state.st_size} {state.st_mtime_ns} {state.st_ino}" for state in states)
