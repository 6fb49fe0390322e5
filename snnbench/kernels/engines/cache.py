"""Compiled kernels, kept in a folder that only its owner can write.

The name of a file is a hash of everything that it depends on. Files appear complete or not at all, so any number of
processes may share the folder; each ends in a checksum of its name and content, and none is used that does not hold it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from snnbench import commands
from snnbench.kernels.cell import NoEngine
from snnbench.replacing import replacing


def cache_dir() -> Path:
    """$SNNBENCH_CACHE, or snnbench in the user's cache folder; made if it is not there.

    Raises:
        NoEngine: it cannot be made or written, or someone else could write it.
    """
    given = os.environ.get("SNNBENCH_CACHE")
    path = commands.home(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        path = path if given else path.expanduser() / "snnbench"
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except (OSError, RuntimeError) as error:
        raise NoEngine(f"no cache folder {path} ({error}); set SNNBENCH_CACHE to one that you can write") from error
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise NoEngine(f"the cache folder {path} can be written by others; chmod 700 it, or set SNNBENCH_CACHE")
    if not os.access(path, os.W_OK | os.X_OK):
        raise NoEngine(f"the cache folder {path} cannot be written; set SNNBENCH_CACHE to one that can")
    return path


def place(suffix: str, *parts: str) -> Path:
    """Where what depends on `parts` is kept. Raises NoEngine as `cache_dir` does."""
    return cache_dir() / f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}{suffix}"


def content_of(target: Path) -> bytes | None:
    """What was once kept under this name; None if nothing was, or it is no longer whole."""
    try:
        content = target.read_bytes()
    except OSError:
        return None
    whole = len(content) > 32 and _checksum(target.name, content[:-32]) == content[-32:]
    return content[:-32] if whole else None


def keep(content: bytes, target: Path) -> None:
    """Write `content` and its checksum, so that a machine that stops leaves all of it or nothing. May raise OSError."""
    with replacing(target) as file:
        file.write(content + _checksum(target.name, content))


def _checksum(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + content).digest()
