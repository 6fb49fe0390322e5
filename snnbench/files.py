"""Writing files so that a reader, or a crash, never sees half of one; reading such as may be anything."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from snnbench.errors import UserError
from snnbench.replacing import replacing

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DAMAGED = (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError)
"""What reading a file can raise that a person has edited, and taking from it what should be there."""
DEEPEST = 500  # levels of YAML
LARGEST_TEXT, LARGEST_TABLE = 4 << 20, 256 << 20  # bytes of a JSON or YAML file, and of a CSV
MOST_DIGITS = 100
_ESCAPED = re.compile(rb"\\u[dD][cC][89a-fA-F]")
_DIGITS = re.compile(rb"[0-9a-fA-F_:x]{%d}" % (MOST_DIGITS // 2))  # also in other bases


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
        with replacing(path) as file:
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            yield file
    except OSError as error:
        reason = error.strerror or str(error)
        raise WriteError(f"cannot write {path}: {reason}. What was there before is untouched.") from error


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


def read_bytes(path: Path, most: int = LARGEST_TABLE) -> bytes:
    """The content of a plain file: to read a pipe or a device might never end.

    Args:
        path: the file.
        most: bytes that it may have; what is larger was not written by a run.

    Raises:
        OSError: it cannot be read, is not a plain file, or is larger.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a plain file", str(path))
        text = file.read(most + 1)
    if len(text) > most:
        raise OSError(errno.EFBIG, f"larger than {most >> 20} MiB", str(path))
    return text


def read_json(path: Path) -> Any:
    """The file's content; a whole number that is longer than any of use is an infinity, as a fraction would be.

    Raises:
        OSError: it cannot be read, or is not a plain file of an ordinary size.
        ValueError, RecursionError: it is no JSON, or nested too deep.
    """
    return json.loads(read_bytes(path, LARGEST_TEXT), parse_int=_int)


def _int(text: str) -> int | float:
    return int(text) if len(text) <= MOST_DIGITS else float(text)


def read_yaml(path: Path, aliases: bool = True) -> Any:
    """The file's content, by libyaml where there is one.

    Args:
        path: a YAML file.
        aliases: whether it may name one of its parts several times; a small file can blow up to gigabytes so.

    Raises:
        OSError: it cannot be read, or is not a plain file of an ordinary size.
        yaml.YAMLError, ValueError, RecursionError: it is no YAML, nested too deep, or has numbers beyond all use.
    """
    text = read_bytes(path, LARGEST_TEXT)
    _refuse_traps(text, aliases)
    bytes_of_names = _ESCAPED.search(text)  # as of a folder whose name is no UTF-8; libyaml refuses them
    found = yaml.load(text, yaml.SafeLoader if bytes_of_names else Loader)
    if _DIGITS.search(text):
        _refuse_numbers(found)
    return found


def _refuse_numbers(node: Any) -> None:
    if isinstance(node, dict):
        node = [*node, *node.values()]
    if isinstance(node, list):
        for item in node:
            _refuse_numbers(item)
    elif isinstance(node, int) and abs(node) >= 10**MOST_DIGITS:
        raise ValueError(f"a number of more than {MOST_DIGITS} digits")


def _refuse_traps(text: bytes, aliases: bool) -> None:
    """Of text that may be one, go through the events: libyaml's loader recurses until the process is gone."""
    deepest = text.count(b"[") + text.count(b"{") + max(map(len, re.findall(rb"^[ ?:-]*", text, re.MULTILINE)))
    if deepest <= DEEPEST and (aliases or b"*" not in text):
        return
    depth = 0
    for event in yaml.parse(text, Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise yaml.YAMLError(f"nested more than {DEEPEST} deep")
        if isinstance(event, yaml.AliasEvent) and not aliases:
            raise yaml.YAMLError("has aliases")
