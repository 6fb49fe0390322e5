"""Locks made of files alone, so that they hold on every file system and between machines.

A lock at `path` is a row of files, `path.1`, `path.2`, ...: whoever creates the next one holds it, for creation is
exclusive everywhere. The highest number counts. Its file says who the holder is; `.free` behind its name, that he let
go. One that is not free may be dead, and the next process takes over,

- where holder and reader are on one machine: as soon as the holder's process is gone,
- else: once the holder has not touched his file for EXPIRY seconds. He does so every BEAT seconds.

The highest number is never deleted, so it never falls, and who finds after creating his file that a higher one is there
has come too late.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BEAT, EXPIRY = 30.0, 300.0
_YOUNG = 60.0  # a file without content is being written, or its writer died in between
_FREE = ".free"


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, and what he says of his work."""

    host: str
    pid: int
    facts: dict[str, Any]

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Held(Exception):
    """The lock is held already."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(f"held by {holder}")
        self.holder = holder


@dataclass
class Hold:
    """A lock that this process holds, and the facts that stand in it; they outlive it."""

    file: Path
    facts: dict[str, Any]
    _end: threading.Event = field(default_factory=threading.Event)

    def tell(self, **facts: Any) -> None:
        """Add to what others can read of this work."""
        self.facts |= facts
        other = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        other.write_text(_content(self.facts))
        os.replace(other, self.file)

    def _beat(self) -> None:
        """Until the end, or until another machine took this process for dead, which ends it: two would do its work."""
        lock = self.file.with_suffix("")
        while not self._end.wait(BEAT):
            with contextlib.suppress(OSError):
                os.utime(self.file)
            rows = _rows(lock)
            if rows and rows[0][0] > int(self.file.suffix[1:]) and not self._end.is_set():
                print(f"error: this process was silent for so long that {holder(lock)} took over.", file=sys.stderr)
                os.kill(os.getpid(), signal.SIGTERM)
                return


def holder(path: Path) -> Holder | None:
    """Who holds the lock at `path` now."""
    return _holder(_rows(path), time.time())


def _holder(rows: list[tuple[int, Path]], now: float) -> Holder | None:
    return next((found for n, file in rows if n == rows[0][0] and (found := _living(file, now))), None)


@contextlib.contextmanager
def hold(path: Path, **facts: Any) -> Iterator[Hold]:
    """Hold the lock at `path`, whose folder must exist, until the block ends or the process does.

    Its facts are those of the last holder, with `facts` over them.

    Raises:
        Held: somebody holds it.
        OSError: the folder cannot be written to.
    """
    held = _take(path, facts)
    thread = threading.Thread(target=held._beat, name=f"beat {path}", daemon=True)
    thread.start()
    try:
        yield held
    finally:
        held._end.set()
        with contextlib.suppress(OSError):  # gone with its folder, perhaps
            held.file.rename(f"{held.file}{_FREE}")


def _take(path: Path, facts: dict[str, Any]) -> Hold:
    while True:
        rows = _rows(path)
        top = rows[0][0] if rows else 0
        living = _holder(rows, _now(path)) if rows else None
        if living is not None:
            raise Held(living)
        before = next((found for _, file in rows if (found := _read(file))), {})
        held = Hold(Path(f"{path}.{top + 1}"), {**before.get("facts", {}), **facts})
        try:
            with held.file.open("x") as file:
                file.write(_content(held.facts))
        except FileExistsError:
            continue
        except OSError:  # a full disk; it is ours, so nobody else has to wait until it is dead
            with contextlib.suppress(OSError):
                held.file.rename(f"{held.file}{_FREE}")
            raise
        now = _rows(path)
        if now[0][1] == held.file and sum(n == now[0][0] for n, _ in now) == 1:
            for n, old in now:
                if n < top:
                    old.unlink(missing_ok=True)
            return held
        held.file.unlink(missing_ok=True)  # a higher one is there, or this number was used and let go in between


def _now(path: Path) -> float:
    """By the clock that the times of files beside `path` are of."""
    probe = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _rows(path: Path) -> list[tuple[int, Path]]:
    """The files of the lock by their numbers, highest first."""
    try:
        names = os.listdir(path.parent)
    except OSError:
        return []
    found = [name.removeprefix(f"{path.name}.") for name in names if name.startswith(f"{path.name}.")]
    numbers = [(int(rest.removesuffix(_FREE)), rest) for rest in found if rest.removesuffix(_FREE).isdecimal()]
    return [(n, path.with_name(f"{path.name}.{rest}")) for n, rest in sorted(numbers, reverse=True)]


def _living(file: Path, now: float) -> Holder | None:
    """The holder that `file` names, unless he let go or is dead."""
    if file.name.endswith(_FREE):
        return None
    try:
        age = now - file.stat().st_mtime
    except OSError:
        return None
    found = _read(file)
    if not found:
        return Holder("this or another machine", 0, {}) if age < _YOUNG else None
    who = Holder(str(found.get("host")), int(found.get("pid", 0)), found.get("facts", {}))
    if found.get("machine") == _machine():
        return who if who.pid > 0 and _is_alive(who.pid, found.get("started")) else None
    return who if age < EXPIRY else None


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    sound = isinstance(found, dict) and isinstance(found.get("pid"), int) and isinstance(found.get("facts"), dict)
    return found if sound else {}


def _content(facts: dict[str, Any]) -> str:
    me = {"host": platform.node(), "machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}
    return json.dumps({**me, "facts": facts})


def _machine() -> str:
    """Equal for two processes if each sees the other's id: one boot of one machine, one container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def _is_alive(pid: int, started: Any) -> bool:
    """Whether the process is there, and no other of its id; of a user whose processes are hidden, only the first."""
    now = _started(pid)
    if now is not None:
        return now == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def _started(pid: int) -> str | None:
    """When the process began, as its system counts; "dead" if nobody waited for its end; None: it cannot be seen."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "dead" if state in "ZX" else rest[18]
