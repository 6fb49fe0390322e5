"""Whether the archives beside a data set are the published ones; each is read once, not at every start."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from torchvision.datasets.utils import calculate_md5

from snnbench.data.files import damaged
from snnbench.files import write_json

_MEMO = ".archives-md5.json"


def archives_are_published(folder: Path, archives: Mapping[str, str]) -> bool:
    """Whether all `archives`, paths below `folder` with their MD5, are there; what is there must be right.

    Raises:
        UserError: One of them has another checksum.
    """
    paths = {name: folder / name for name in archives}
    present = {name: path for name, path in paths.items() if path.is_file()}
    for name, path in present.items():
        found = _md5(path)
        if found != archives[name]:
            raise damaged(path, f"MD5 {found}, the published one has {archives[name]}; data.verify=false takes any")
    return len(present) == len(archives)


def _md5(path: Path) -> str:
    """The file's MD5, from a note beside it if the file has not changed since."""
    status = path.stat()
    state = [status.st_size, status.st_mtime_ns]
    memo_path = path.parent / _MEMO
    try:
        memo = json.loads(memo_path.read_text())
        known = memo[path.name]
        if known[:2] == state:
            return str(known[2])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        memo = {}
    md5 = calculate_md5(path, chunk_size=2**20)
    if isinstance(memo, dict):
        with contextlib.suppress(OSError):  # a read-only folder: it is read again next time
            write_json(memo_path, {**memo, path.name: [*state, md5]})
    return md5
