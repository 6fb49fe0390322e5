"""How many threads the CPU's work gets, why, and how they wait for each other.

What the user says counts: `threads=N`, or OMP_NUM_THREADS. Else they are as many as there are cores that others leave
free when the command starts, shared by what it starts at once. PyTorch's own sums over a batch are made in another
order by another number of threads; so the choice is recorded, and kept by whoever goes on with a run or evaluates it.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, dataclass

from snnbench import cores, processes

USERS = "OMP_NUM_THREADS"
TOLD = "SNNBENCH_THREADS"
"""Environment variable: what the command that started this process chose for it."""
WAITING = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
"""For GNU's OpenMP, which PyTorch brings on Linux: to spin for some 50 microseconds, which is what lies between two
operators of a small network, instead of 15 milliseconds. For LLVM's, on macOS: not at all; it counts in milliseconds.
"""
OTHER_WAITING = ("OMP_WAIT_POLICY", "KMP_LIBRARY")

_watch: list[cores.Watch] = []


@dataclass(frozen=True)
class Choice:
    """So many threads; `given` if the user said so."""

    count: int
    why: str
    given: bool = False

    def describe(self) -> str:
        return f"{self.count} thread{'s' if self.count > 1 else ''}: {self.why}"

    def shared(self, by: int, who: str) -> Choice:
        """What each of `by` gets of it; what the user said is for each one already."""
        if self.given or by < 2:
            return self
        return Choice(max(1, self.count // by), f"{self.why}, shared by {by} {who}")


def prepare(environ: MutableMapping[str, str] | None = None) -> None:
    """What a command does first: let threads sleep while they wait, and begin to watch what others do.

    A thread that spins takes the core from the one that it waits for, as soon as anybody else wants a core, too. OpenMP
    reads the environment once, when PyTorch is loaded; a user who has set any of it is left alone.
    """
    env = os.environ if environ is None else environ
    if "torch" not in sys.modules and not any(name in env for name in (*WAITING, *OTHER_WAITING)):
        env.update(WAITING)
    _watch[:] = [cores.Watch()]


def choose(environ: Mapping[str, str] | None = None, watch: cores.Watch | None = None) -> Choice:
    """The number for this machine as it is now: the user's, or as many as cores are free."""
    env = os.environ if environ is None else environ
    said = _number(env.get(USERS, "").partition(",")[0])
    if said is not None:
        return Choice(said, f"{USERS}={said}", given=True)
    watch = watch or (_watch[0] if _watch else cores.Watch())
    found = processes.launch(env)
    alone = found is None or found.perhaps_alone  # else the others, who start as well, would be seen as strangers
    return _of_what_is_free(watch.usable, watch.others() if alone else 0.0)


def _of_what_is_free(usable: cores.Usable, others: float) -> Choice:
    words = [f"others keep {others:.1f} of {len(usable.cores)} cores busy" if others >= 0.05 else ""]
    count = usable.threads(others)
    if not words[0] or count == usable.threads():
        words = [f"{len(usable.cores)} cores" + (" are free" if count == len(usable.cores) else "")]
    if usable.whole < len(usable.cores):
        words.append(f"two of which are one (SMT): {usable.whole}")
    if usable.quota is not None:
        words.append(f"a cgroup's quota of {usable.quota:.3g}")
    return Choice(count, ", ".join(words))


def for_run(
    configured: int | None,
    recorded: int | None = None,
    processes_here: int = 1,
    environ: Mapping[str, str] | None = None,
    watch: cores.Watch | None = None,
) -> Choice:
    """The number for a run.

    Args:
        configured: its config's `threads`.
        recorded: that of its last start; taken again, if this machine has as many cores.
        processes_here: of the run on this machine, which share what is free.
        environ, watch: of this process.
    """
    if configured is not None:
        return Choice(configured, f"threads={configured}", given=True)
    env = os.environ if environ is None else environ
    told = _told(env)
    choice = told if told is not None and told.given else None
    if choice is None and (told is None and USERS in env):
        choice = choose(env, watch)
    if choice is not None and choice.given:
        return choice
    if recorded is not None:
        most = max(1, cores.usable().threads() if watch is None else watch.usable.threads())
        return Choice(min(recorded, most), f"as the run began, with {recorded}")
    return (told or choice or choose(env, watch)).shared(processes_here, "processes")


def tell(choice: Choice, environ: MutableMapping[str, str] | None = None) -> None:
    """Let what this process starts on this machine take `choice` instead of looking by itself."""
    env = os.environ if environ is None else environ
    env[TOLD] = json.dumps({"machine": platform.node(), **asdict(choice)})


def _told(environ: Mapping[str, str]) -> Choice | None:
    try:
        found = dict(json.loads(environ[TOLD]))
        return Choice(**found) if found.pop("machine") == platform.node() else None
    except (KeyError, ValueError, TypeError):  # not written by `tell`
        return None


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() and int(text) > 0 else None
