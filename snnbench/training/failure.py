"""What ended a run early: the program, which would fail so again, or the machine, which may not.

This is the one rule by which a sweep resumes a run that failed, or leaves it (`snnbench.sweep.Job.action`):

- the machine's: a full disk or quota, a file system that fails or is gone, no memory left, a process of the run that is
  gone, a lost connection to one. A GPU's memory, too, once the run has finished an epoch: it was enough then, so
  somebody else took it.
- the program's: everything else.

Of several processes, the first one records what ended another one, which left a note of it in the run's folder.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from snnbench import processes
from snnbench.errors import UserError
from snnbench.interrupt import by_the_machine, interrupted_by, was_interrupted
from snnbench.runs.schema import Cause, Written
from snnbench.training.guard import NonFinite

_NAMES = (
    *("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO", "ESTALE", "ENXIO", "ENODEV", "EREMOTEIO", "ENOLCK", "ENOMEM"),
    *("ENFILE", "ETIMEDOUT", "ENOTCONN", "ECONNRESET", "ECONNABORTED", "ECONNREFUSED", "EPIPE", "EHOSTDOWN"),
    *("EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ENETRESET", "ESHUTDOWN"),
)
_NUMBERS = {getattr(errno, name) for name in _NAMES if hasattr(errno, name)}
_TEXTS = re.compile(
    r"can't allocate memory|not enough memory|bad_alloc|insufficient shared memory"
    r"|killed by signal: (Killed|Terminated|Bus error|Hangup)|workers? .*exited unexpectedly"
    r"|Connection (closed|reset) by peer|connection was (closed|reset)|Broken pipe|Timed out waiting \d+ms"
    r"|NCCL.*(remote process exited|unhandled system error|timed? ?out)|Watchdog caught collective operation timeout",
    re.IGNORECASE | re.DOTALL,
)
_PEER = re.compile(r"\bgloo|NCCL|c10d|store|peer|collective", re.IGNORECASE)
_PATIENCE = 3.0  # seconds for another process to leave its note


@dataclass(frozen=True)
class Ending:
    """How a run ended early; `text` says what stopped it, on one line."""

    status: Written
    cause: Cause
    text: str
    diverged: bool = False


def ending_of(error: BaseException, epochs: int, note: tuple[str, Cause] | None = None) -> Ending:
    """How `error` ended a run that had finished `epochs` epochs; `note`: what ended another process of it before."""
    if note is not None:
        return Ending("failed", note[1], note[0])
    if was_interrupted(error):
        return Ending("interrupted", "machine" if by_the_machine() else "user", f"interrupted by {interrupted_by()}")
    if isinstance(error, NonFinite):
        return Ending("failed", "program", str(error), diverged=True)
    told = isinstance(error, UserError | MisconfigurationException)
    return Ending("failed", cause_of(error, epochs), str(error) if told else text_of(error))


def cause_of(error: BaseException, epochs: int) -> Cause:
    """Whether the program or the machine is behind `error`, of a run that had finished `epochs` epochs."""
    for one in _chain(error):
        if isinstance(one, torch.OutOfMemoryError):
            return "machine" if epochs else "program"
        if isinstance(one, MemoryError) or (isinstance(one, OSError) and one.errno in _NUMBERS):
            return "machine"
        if isinstance(one, torch.distributed.DistNetworkError | torch.distributed.DistStoreError | EOFError):
            return "machine"
        if isinstance(one, OSError | RuntimeError) and _says_machine(str(one)):
            return "machine"
    return "program"


def _says_machine(text: str) -> bool:
    """Of what PyTorch made of an error in C++, or in a loader's process, of which the text is all that is left."""
    numbers = {int(found) for found in re.findall(r"\[Errno (\d+)\]", text)}
    return bool(numbers & _NUMBERS or _TEXTS.search(text) or any(os.strerror(number) in text for number in _NUMBERS))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those behind it; of one raised `from None`, what it hides is none of its causes."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def text_of(error: BaseException) -> str:
    """The error on one line, as result.json has it."""
    return f"{type(error).__name__}: {error}"


def leave_note(folder: Path, error: BaseException, epochs: int) -> None:
    """Of a further process, for the first one, which would only see that a connection is closed.

    It is given a moment to record it: a launcher that sees this process gone may kill the others.
    """
    if was_interrupted(error):
        return
    found = {"rank": _rank(), "error": text_of(error), "cause": cause_of(error, epochs), "time": time.time()}
    found["peer"] = _of_peer(error)
    with contextlib.suppress(OSError):
        (folder / f".failed-{_rank()}.json").write_text(json.dumps(found))
    with contextlib.suppress(Exception):
        torch.distributed.destroy_process_group()
    time.sleep(_PATIENCE)


def forget_notes(folder: Path) -> None:
    """Those of an earlier start."""
    for path in folder.glob(".failed-*.json"):
        path.unlink(missing_ok=True)


def note_of_another(folder: Path, error: BaseException, together: bool) -> tuple[str, Cause] | None:
    """What ended another process of the run, if it is that which ended this one: the text and the cause.

    Args:
        folder: the run's.
        error: that this process has.
        together: whether there are others.
    """
    if not together or not _of_peer(error):
        return None
    deadline = time.monotonic() + (0 if was_interrupted(error) else _PATIENCE)
    while not (notes := _notes(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return notes[0] if notes else None


def _notes(folder: Path) -> list[tuple[str, Cause]]:
    """Of processes that ended by themselves, the first one first."""
    found = [note for path in folder.glob(".failed-*.json") if (note := _read(path)) and not note["peer"]]
    found.sort(key=lambda note: float(note["time"]))
    return [(f"process {note['rank']}: {note['error']}", note["cause"]) for note in found]


def _of_peer(error: BaseException) -> bool:
    """Whether it can be the mere loss of another process, or the signal that its launcher sends to the others."""
    return any(
        isinstance(one, KeyboardInterrupt | SystemExit | torch.distributed.DistError)
        or (isinstance(one, RuntimeError) and _PEER.search(str(one)) is not None and _says_machine(str(one)))
        for one in _chain(error)
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        return found if {"rank", "error", "cause", "time", "peer"} <= found.keys() else {}
    except (OSError, ValueError, AttributeError):
        return {}


def _rank() -> int:
    found = processes.launch()
    return found.rank if found else int(os.environ.get("LOCAL_RANK", "0"))
