"""Whether the files of a data set are those of its published archives, which have to lie beside them."""

from __future__ import annotations

import logging
import os
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from snnbench.data.files import damaged
from snnbench.data.tree import SETTLED_S, contents, recall, remember, spelt, survey
from snnbench.errors import UserError

_CHUNK = 2**20


class Member(NamedTuple):
    """A file as an archive has it."""

    size: int
    crc32: int


def prove(
    folder: Path, files: Callable[[], Sequence[str]], archives: Mapping[str, str], *, again: bool = False
) -> bool:
    """Whether all `archives` are there, are the published ones, and hold all the files. What is there must be right.

    Archives and files are read once, and not again while nobody touches them, unless `again`.

    Args:
        folder: Where the files lie.
        files: Gives their names below `folder`.
        archives: Paths below `folder`, each with its published MD5.
        again: Read everything.

    Raises:
        UserError: An archive has another checksum, or a file differs from the one in the archive.
    """
    present = [name for name in archives if (folder / name).is_file()]
    if not present:
        return False
    found = contents(folder, present, again=again, kind="archives")
    assert found is not None
    for name in present:
        if found.files[name] != archives[name]:
            md5 = f"MD5 {found.files[name]}, the published one has {archives[name]}"
            raise damaged(folder / name, f"{md5}; data.verify=false takes any")
    if len(present) < len(archives):
        return False
    names = files()
    now, began = survey(folder, [*archives, *names]), time.time()
    if not again and recall("proof", folder, now.state) is True:
        return True
    logging.getLogger("snnbench").info("comparing %d files with their archives in %s", len(names), spelt(folder))
    if not _same(folder, names, [folder / name for name in archives]):
        return False
    if now.newest < began - SETTLED_S:
        remember("proof", folder, now.state, True)
    return True


def _same(folder: Path, names: Sequence[str], archives: Sequence[Path]) -> bool:
    members: dict[str, Member | None] = {}
    for path in archives:
        try:
            for name, member in _members(path):
                parts = PurePosixPath(name).parts
                for start in range(len(parts)):  # a file may have been unpacked without the folders above it
                    tail = "/".join(parts[start:])
                    members[tail] = member if members.get(tail, member) == member else None
        except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, NotImplementedError) as error:
            raise damaged(path, f"it cannot be unpacked ({error})") from error
    unknown = [name for name in names if members.get(name) is None]
    if unknown:
        logging.getLogger("snnbench").info("%s is in none of the archives", spelt(folder / unknown[0]))
        return False

    def differs(name: str) -> bool:
        member = members[name]
        return member != _member(folder / name)

    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        for name, other in zip(names, pool.map(differs, names, chunksize=64), strict=True):
            if other:
                raise damaged(folder / name, "it is not what its archive holds; data.verify=false takes any")
    return True


def _members(archive: Path | IO[bytes]) -> Iterator[tuple[str, Member]]:
    """The files in an archive, and those in the archives in it."""
    if isinstance(archive, Path) and not zipfile.is_zipfile(archive):
        yield from _tar_members(archive)
        return
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            if not info.is_dir():
                yield info.filename, Member(info.file_size, info.CRC)
            if info.filename.endswith(".zip"):
                with opened.open(info) as inner:
                    yield from _members(inner)


def _tar_members(archive: Path) -> Iterator[tuple[str, Member]]:
    with tarfile.open(archive, "r|*") as opened:
        for info in opened:
            content = opened.extractfile(info) if info.isreg() else None
            if content is not None:
                yield info.name, _of(content)


def _member(path: Path) -> Member:
    try:
        with path.open("rb") as file:
            return _of(file)
    except OSError as error:
        raise UserError(f"{spelt(path)} cannot be read ({error.strerror}): fetch it again.") from error


def _of(file: IO[bytes]) -> Member:
    size = crc32 = 0
    while chunk := file.read(_CHUNK):
        size, crc32 = size + len(chunk), zlib.crc32(chunk, crc32)
    return Member(size, crc32)
