"""How many cores this process may use, and how many of them others leave free, as Linux tells it; elsewhere a guess."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SHORTEST = 0.3
"""Seconds that others are watched at least: /proc/stat counts in hundredths."""


@dataclass(frozen=True)
class Usable:
    """What this process may use.

    Attributes:
        cores: their numbers, which taskset, a container or a batch system may have chosen.
        whole: how many there are if those that share their arithmetic units (SMT) count as one.
        quota: processor seconds a second that its cgroups allow, or None.
    """

    cores: frozenset[int]
    whole: int
    quota: float | None = None

    def threads(self, others: float = 0.0) -> int:
        """How many threads of equal shares are done soonest, if others keep `others` of the cores busy.

        All wait for the slowest: on a core of which a part is free, a thread takes that much longer. It is worth
        having where all threads at that speed are faster than the rest at their own. Beyond a quota, all would be
        stopped at once.
        """
        free = max(0.0, len(self.cores) - others)
        count = math.floor(free)
        if (count + 1) * (free - count) > count:
            count += 1
        limits = [self.whole] if self.quota is None else [self.whole, math.floor(self.quota)]
        return max(1, min(count, *limits))


def usable(root: Path = Path("/")) -> Usable:
    """What this process may use; `root` is where proc/ and sys/ lie."""
    found = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return Usable(frozenset(found), _whole(root, found), quota(root))


def _whole(root: Path, cores: Iterable[int]) -> int:
    def siblings(core: int) -> str:
        try:
            return (root / f"sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text()
        except OSError:
            return str(core)

    return len({siblings(core) for core in cores})


def quota(root: Path = Path("/")) -> float | None:
    """The smallest of the quotas of this process's cgroup, version 1 or 2, and of those around it."""
    found = [value for folder in _cgroups(root) if (value := _quota_of(folder)) is not None]
    return min(found, default=None)


def _cgroups(root: Path) -> Iterator[Path]:
    """The folders of this process's cgroups of processor time, up to the mounted root of each."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in ("", "unified") if not controllers else (controllers, "cpu"):
            top = root / "sys/fs/cgroup" / mount
            own = top / path.strip("/")
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top))


def _quota_of(folder: Path) -> float | None:
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            limit, period = " ".join((folder / name).read_text() for name in names).split()
            if limit not in ("max", "-1"):
                return int(limit) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return None


class Watch:
    """What others do on the usable cores, from now until it is asked.

    A command that trains begins one and then imports libraries for seconds, so that asking costs no time.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self.usable = usable(root)
        self._began = self._sample()

    def others(self) -> float:
        """Cores that others kept busy on average, 0 to the number of usable ones; none where nothing tells."""
        time.sleep(max(0.0, SHORTEST - (time.monotonic() - self._began[0])))
        seconds, busy, all_, own = (now - then for now, then in zip(self._sample(), self._began, strict=True))
        found = (busy - own) / seconds if all_ > 0 else _load(self._root)
        return min(max(found, 0.0), float(len(self.usable.cores)))

    def _sample(self) -> tuple[float, float, float, float]:
        """The time; seconds that the usable cores were busy, and that they counted at all; seconds of this process."""
        ticks = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
        busy = all_ = 0
        for core, counts in _stat(self._root):
            if core in self.usable.cores:
                user, nice, system, _idle, _waiting, *rest = counts
                busy += user + nice + system + sum(rest)
                all_ += sum(counts)
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        return time.monotonic(), busy / ticks, all_ / ticks, own


def _stat(root: Path) -> Iterator[tuple[int, list[int]]]:
    """Of each core, its number and its ticks: user, nice, system, idle, iowait, irq, softirq, steal."""
    try:
        lines = (root / "proc/stat").read_text().splitlines()
    except OSError:
        return
    for name, *counts in (line.split() for line in lines if line.startswith("cpu")):
        if name[3:].isdecimal() and len(counts) >= 8:
            yield int(name[3:]), [int(count) for count in counts[:8]]  # a guest's are in user's already


def _load(root: Path) -> float:
    """Processes that ran or waited to, in the last minute; this one is hardly among them yet."""
    try:
        return float((root / "proc/loadavg").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return 0.0
