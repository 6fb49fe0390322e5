"""Writing files so that a reader, or a crash, never sees half of one; reading YAML fast."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from snnbench.errors import UserError

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class WriteError(UserError, OSError):
    """A file could not be written; what stood there before is untouched."""


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears at `path` only when the block ends well, already on the disk.

    It is written beside the target, synced and renamed, so whatever stood at `path` stays whole until then.

    Raises:
        WriteError: the disk is full, or the folder is missing or not to be written to.
    """
    try:
        with _replacing(path) as file:
            yield file
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteError(f"cannot write {path}: {reason}. What was there before is untouched.") from error


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text`, atomically."""
    with atomic(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as JSON, atomically; not-a-number and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_yaml(path: Path) -> Any:
    """The file's content, by libyaml where there is one."""
    return yaml.load(path.read_bytes(), Loader)
