"""Finding, fetching and checking the files of a published data set."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from snnbench.check import shown
from snnbench.commands import home
from snnbench.data.tree import contents, spelt
from snnbench.errors import UserError

_SILENCE_S = 20.0
"""Seconds without a byte after which a download is given up."""


def check_present(
    folder: Path, names: list[str], *, archives: list[str], how_to_get: str, fetch: Callable[[Path], object] | None
) -> None:
    """Make sure that `folder` holds all of `names`, fetching the whole folder if it holds none.

    Args:
        folder: Where the data set belongs.
        names: Files or folders inside it.
        archives: Paths below `folder`'s parent where an archive put there by hand saves its download.
        how_to_get: What to fetch by hand, one sentence.
        fetch: Downloads and unpacks the data set below the root it is given; None: not wanted.

    Raises:
        UserError: Nothing there and no download, or only some of the files there.
    """
    missing = [name for name in names if not (folder / name).exists()]
    if not missing:
        return
    if len(missing) < len(names):
        raise UserError(
            f"{spelt(folder)} lacks {', '.join(missing)}: delete the folder to have it fetched anew. {how_to_get}"
        )
    reason = "data.download=false" if fetch is None else _download(folder, names, archives, fetch)
    if reason:
        raise UserError(
            f"no data in {spelt(folder)} ({reason}). {how_to_get}\n"
            "Set paths.data=<folder> or $SNNBENCH_DATA if it lies elsewhere; data=digits needs no files."
        )


def _download(folder: Path, names: list[str], archives: list[str], fetch: Callable[[Path], object]) -> str:
    """Fetch into a folder beside the target and move it there when complete. Returns what failed, or ''."""
    root, new_root = folder.parent, not folder.parent.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as name, _socket_timeout(_SILENCE_S):
            temporary = Path(name)
            for archive in archives:
                if (root / archive).is_file():
                    (temporary / archive).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(root / archive, temporary / archive)
            fetch(temporary)
            _move(temporary / folder.name, folder, names)
    except (OSError, RuntimeError, EOFError) as error:  # URLError is an OSError; a bad checksum is a RuntimeError
        if new_root and root.is_dir() and not any(root.iterdir()):
            root.rmdir()
        return f"the download failed: {' '.join(str(error).split())}"
    return ""


def _move(fetched: Path, folder: Path, names: list[str]) -> None:
    if not folder.exists():
        fetched.rename(folder)
        return
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (fetched / name).rename(folder / name)


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def check_md5(folder: Path, expected: Mapping[str, str], *, again: bool = False) -> None:
    """Raise a UserError naming the first file whose MD5 is not the published one.

    Files that nobody has touched since are not read once more, unless `again`.
    """
    found = contents(folder, list(expected), again=again)
    assert found is not None
    for name, md5 in expected.items():
        if found.files[name] != md5:
            size = (folder / name).stat().st_size
            raise damaged(
                folder / name,
                f"MD5 {found.files[name]} ({size} bytes), the published file has {md5}; data.verify=false takes any",
            )


def verification(value: bool | str) -> bool | str:
    """`value`, if it is one of those that data.verify may have."""
    if isinstance(value, bool) or value == "full":
        return value
    raise UserError(f"data.verify={shown(value)}: must be true, false, or full, which reads every file once more.")


def folder_path(key: str, value: str | Path) -> Path:
    """`value`, if it is a path, with the home folder in place of `~`."""
    if not isinstance(value, str | Path) or not str(value):
        raise UserError(f"{key}={shown(value)}: must be a folder. Without {key} it follows paths.data=<folder>.")
    return home(value)


def damaged(path: str | Path, what: str) -> UserError:
    """The error for a file that is not what it should be."""
    what = " ".join(what.split())
    return UserError(f"{spelt(path)} is damaged: {what}.\nReplace it, or delete its folder to have it fetched anew.")
