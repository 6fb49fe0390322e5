"""What the files of a data set are: a survey by names, sizes and times, and a digest of their content.

Content is read once. Its digest is remembered in the user's cache folder for as long as every file keeps its path,
size, times and inode; the time of the last change of a file's status is among them, which no tool can set back.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from snnbench.errors import UserError
from snnbench.files import write_json

LENGTH = 16
FEW = 64  # files whose single digests are kept
JUNK = {"__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "@eaDir", "$RECYCLE.BIN", "System Volume Information"}
SETTLED_S = 2.0
"""Age that a change must have to be told by its time: clocks of file systems are that coarse."""


@dataclass(frozen=True)
class Survey:
    """What can be said of files without reading them.

    Attributes:
        count: How many.
        size: Bytes of all.
        index: Digest of names, sizes and times of the last change in whole seconds, as copying tools keep them.
        state: Digest of that, and of all that this machine knows: equal as long as nobody has touched the files.
        newest: When the status of one of them changed last, in seconds since the epoch.
    """

    count: int
    size: int
    index: str
    state: str
    newest: float


class Contents(NamedTuple):
    """What files hold.

    Attributes:
        digest: Of all names and contents.
        parts: Digests of each first component of the names, where there are at most FEW of these; else nothing.
        files: MD5 of each file, where there are at most FEW; else nothing.
    """

    digest: str
    parts: dict[str, str]
    files: dict[str, str]


def is_junk(name: str) -> bool:
    """Whether a file or folder is what file managers, notebooks and archivers leave about, and no part of any data."""
    return name.startswith(".") or name in JUNK


def spelt(path: str | Path) -> str:
    """A path that can be printed, whatever bytes its name has."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def survey(folder: Path, names: Iterable[str]) -> Survey:
    """Look at the files `names` below `folder`, in this order.

    Raises:
        UserError: One is missing, is no plain file, or cannot be reached.
    """
    index, state = hashlib.sha256(), hashlib.sha256(os.fsencode(os.path.realpath(folder)))
    prefix, count, size, newest = os.path.join(folder, ""), 0, 0, 0
    for name in names:
        found = plain_file(prefix + name)
        changed, modified = found.st_ctime_ns, found.st_mtime_ns
        index.update(b"%s\0%d %d\n" % (os.fsencode(name), found.st_size, modified // 10**9))
        state.update(b"%d %d %d\n" % (modified, changed, found.st_ino))
        newest = max(newest, changed, modified)
        count, size = count + 1, size + found.st_size
    state.update(index.digest())
    return Survey(count, size, index.hexdigest()[:LENGTH], state.hexdigest(), newest / 1e9)


def plain_file(path: str | Path) -> os.stat_result:
    """The status of a file that can be read without waiting for somebody to write it.

    Raises:
        UserError: It is missing, is no plain file, or cannot be reached.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise UserError(f"{spelt(path)} cannot be read ({error.strerror}): fetch it again, or move it away.") from error
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{spelt(path)} is no plain file. Move it away.")
    return found


def contents(
    folder: Path,
    names: Sequence[str],
    *,
    again: bool = False,
    known_only: bool = False,
    kind: str = "content",
    before: Survey | None = None,
) -> Contents | None:
    """What the files `names` below `folder` hold: as remembered, or else read.

    Args:
        folder: Where they are.
        names: In the order that counts.
        again: Read them even if they seem untouched.
        known_only: Do not read them; None where nothing is remembered.
        kind: Under what they are remembered; of each kind and folder the last names are.
        before: How they were found a moment ago.

    Raises:
        UserError: One is missing or cannot be read.
    """
    before, began = before or survey(folder, names), time.time()
    if not again:
        found = _contents(recall(kind, folder, before.state))
        if found is not None or known_only:
            return found
    found = _read(folder, names)
    if survey(folder, names).state != before.state:
        raise UserError(f"{spelt(folder)}: its files were changed while they were read. Try again.")
    if before.newest < began - SETTLED_S:
        remember(kind, folder, before.state, found._asdict())
    return found


def _contents(value: Any) -> Contents | None:
    try:
        found = Contents(**value)
    except TypeError:
        return None
    sound = isinstance(found.digest, str) and all(isinstance(part, dict) for part in (found.parts, found.files))
    return found if sound else None


def _read(folder: Path, names: Sequence[str]) -> Contents:
    paths = [os.path.join(folder, name) for name in names]
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        digests = list(pool.map(md5_of, paths, chunksize=64))
    whole = hashlib.sha256()
    parts: dict[str, Any] = {}
    for name, digest in zip(names, digests, strict=True):
        line = os.fsencode(name) + b"\0" + digest.encode() + b"\n"
        whole.update(line)
        parts.setdefault(spelt(name).partition("/")[0], hashlib.sha256()).update(line)
    few = parts if len(parts) <= FEW else {}
    return Contents(
        whole.hexdigest()[:LENGTH],
        {name: part.hexdigest()[:LENGTH] for name, part in few.items()},
        {spelt(name): digest for name, digest in zip(names, digests, strict=True)} if len(names) <= FEW else {},
    )


def md5_of(path: str | Path) -> str:
    """The MD5 of a file, as those who publish data give it.

    Raises:
        UserError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise UserError(f"{spelt(path)} cannot be read ({error.strerror}): fetch it again.") from error


def recall(kind: str, folder: Path, state: str) -> Any:
    """What was remembered of `folder` in this state, or None."""
    try:
        note = json.loads(_note(kind, folder).read_text())
        return note["value"] if note["state"] == state else None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, RecursionError):
        return None


def remember(kind: str, folder: Path, state: str, value: Mapping[str, Any] | bool) -> None:
    """Keep a value for `recall`; where there is no place for it, it will be found out anew."""
    with suppress(OSError, RuntimeError):
        path = _note(kind, folder)
        path.parent.parent.mkdir(
            mode=0o700, parents=True, exist_ok=True
        )  # the kernels' folder too: for its owner alone
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_json(path, {"folder": spelt(folder), "state": state, "value": value})


def _note(kind: str, folder: Path) -> Path:
    given = os.environ.get("SNNBENCH_CACHE")
    top = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "snnbench"
    name = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:32]
    return top / "data" / f"{kind}-{name}.json"
