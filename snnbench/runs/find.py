"""Where runs lie below some folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from snnbench.errors import UserError
from snnbench.runs.schema import CONFIG, NOT_RUNS, RESULT


def outputs() -> Path:
    """Where runs lie unless a folder is named: $SNNBENCH_OUTPUTS or outputs, as in configs/paths/default.yaml."""
    return Path(os.environ.get("SNNBENCH_OUTPUTS") or "outputs").expanduser()


def run_folders(folders: Iterable[str | Path], problems: list[str]) -> Iterator[Path]:
    """Folders of runs, through symbolic links, too; each once, by whichever path it is found first."""
    seen: set[tuple[int, int] | None] = set()
    for top in map(Path, folders):
        if not top.is_dir():
            raise UserError(f"{top}: there is no such folder. Runs lie in outputs/<name>/<time>.")
        above = {_inode(folder) for folder in top.resolve().parents}  # a link to these leads out, and back in

        def unreadable(error: OSError) -> None:
            problems.append(f"{error.filename}: cannot be read ({error.strerror})")

        for parent, children, files in os.walk(top, onerror=unreadable, followlinks=True):
            folder = Path(parent)
            inode = _inode(folder)
            if inode is None or inode in seen or inode in above:
                children.clear()
                continue
            seen.add(inode)
            children[:] = sorted(set(children) - NOT_RUNS, key=lambda name: ((folder / name).is_symlink(), name))
            if {CONFIG, RESULT} & {*files, *children}:
                yield folder


def _inode(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from all others; None if it is gone."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
