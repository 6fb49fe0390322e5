"""What the jobs of one sweep tell the process that started them: a file of JSON lines for each job.

The files lie in `.sweeps` among the runs, which every machine sees that a job may run on.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from snnbench import terminal
from snnbench.interrupt import FAILED
from snnbench.runs.quantities import shown
from snnbench.runs.quantity import Quantity
from snnbench.runs.result import Unreadable, read_result, status_of
from snnbench.runs.schema import SWEEPS, TIME

FOLDER = "SNNBENCH_STATUS"
JOB = "SNNBENCH_JOB"
"""Environment variables: the folder of the files and, in a process that a job started for itself, the job's number."""
_BEGAN = "began"


def is_sweep() -> bool:
    """Whether this process is in a job of a sweep (`train.py -m`)."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return JOB in os.environ or (HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN)


def begin(outputs: Path) -> Path:
    """Make the folder for what the jobs of a new sweep tell; from now on, this process and what it starts tell there.

    Raises:
        OSError: it cannot be made.
    """
    parent = (outputs / SWEEPS).absolute()
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f"status-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    (folder / _BEGAN).write_text(time.strftime(TIME))
    os.environ[FOLDER] = str(folder)
    return folder


def end() -> None:
    """Remove what `begin` made."""
    folder = os.environ.pop(FOLDER, None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def tell(job: int | None = None, **facts: Any) -> None:
    """Add to what is known of a job of a sweep; of this one, where none is given.

    Facts are `words` (its overrides), `own` (those that not all jobs have), `count` (of the sweep's jobs), `action`,
    `run` and `slot` (what is to be done, see `sweep`), `folder`, `code` (its exit code), `skipped` and `elsewhere`
    (whether another process trains it).
    """
    if FOLDER in os.environ:
        with contextlib.suppress(OSError):  # a full disk: how a job ended is in its run's folder, too
            _append(Path(os.environ[FOLDER]), number() if job is None else job, facts)


def _append(folder: Path, job: int, facts: Mapping[str, Any]) -> None:
    with (folder / f"{job}.jsonl").open("a") as file:
        file.write(json.dumps(facts) + "\n")


def number() -> int:
    """Of the job that this process is in, from 0."""
    from hydra.core.hydra_config import HydraConfig

    if JOB in os.environ:
        return int(os.environ[JOB])
    return int(HydraConfig.get().job.num) if is_sweep() else 0


def words() -> list[str]:
    """The overrides of the job that this process is in."""
    from hydra.core.hydra_config import HydraConfig

    return list(HydraConfig.get().overrides.task)


def place() -> str:
    """ "job 3 of 12" in a job of a sweep whose number of jobs is known, "job 3" in one that is not; else ""."""
    if not is_sweep():
        return ""
    count = of_this_job().get("count")
    return f"job {number() + 1}" + (f" of {count}" if count else "")


def of_this_job() -> dict[str, Any]:
    """What is known of the job that this process is in."""
    folder = os.environ.get(FOLDER)
    return _facts(Path(folder) / f"{number()}.jsonl") if folder else {}


def began() -> str:
    """When the sweep's command was given; now, where that is not known."""
    try:
        return (Path(os.environ[FOLDER]) / _BEGAN).read_text()
    except (KeyError, OSError):
        return time.strftime(TIME)


def collect() -> list[dict[str, Any]]:
    """The facts of each job, in the order of the jobs; none where no sweep began."""
    folder = os.environ.get(FOLDER)
    files = sorted(Path(folder).glob("*.jsonl"), key=lambda file: int(file.stem)) if folder else []
    return [_facts(file) for file in files]


def _facts(file: Path) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    with contextlib.suppress(OSError):
        for line in _lines(file.read_text()):
            facts |= line
    return facts


def _lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        with contextlib.suppress(ValueError):  # half a line, of a job that was killed or a disk that was full
            yield json.loads(line)


def code_of(job: Mapping[str, Any]) -> int:
    """The exit code of a job: what it told, or else, since it may have been killed, what its run's folder says.

    A job that another process trains is no failure of this sweep unless it ended without a result by now.
    """
    if "code" in job and not job.get("elsewhere"):
        return int(job["code"])
    try:
        folder = Path(job["folder"])
        return 0 if status_of(folder, read_result(folder)) in ("finished", "running") else FAILED
    except (KeyError, Unreadable):
        return 0 if job.get("elsewhere") else FAILED


def in_all(jobs: Sequence[Sequence[str]]) -> set[str]:
    """The overrides that all of several jobs have, which tell none from another."""
    return set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()


def print_table(jobs: list[dict[str, Any]]) -> None:
    """One line for each job of a sweep: what is its own, how it ended, its test accuracy, its folder.

    Where a line has no room for the folders, they stand below, whole, to be copied.
    """
    from rich.table import Table

    console = terminal.console()
    common = in_all([job["words"] for job in jobs])
    lines = [[" ".join(word for word in job["words"] if word not in common), *_outcome(job)] for job in jobs]

    def table(folders: bool) -> Table:
        found = Table(title=f"sweep: {len(jobs)} jobs", title_justify="left")
        for name in ("", "job", "status"):
            found.add_column(name, overflow="fold")
        for quantity in shown("sweep"):
            found.add_column(quantity.head(quantity.units[0]), justify="right")
        if folders:
            found.add_column("folder", no_wrap=True)
        for number, line in enumerate(lines, start=1):
            found.add_row(str(number), *line[: len(found.columns) - 1])
        return found

    whole = table(folders=True)
    fits = console.measure(whole, options=console.options.update(width=terminal.WIDEST)).maximum <= console.width
    console.print(whole if fits else table(folders=False), markup=False, highlight=False)
    for number, line in enumerate(lines, start=1):
        if line[-1] and not fits:
            console.print(f"{number}  {line[-1]}", markup=False, highlight=False, soft_wrap=True)


def _outcome(job: Mapping[str, Any]) -> list[str]:
    """Status, the quantities of a sweep's table, folder."""
    nothing = [""] * len(shown("sweep"))
    if "folder" not in job:
        unfinished = "running elsewhere" if job.get("elsewhere") else "not started"
        return ["failed" if job.get("code") else unfinished, *nothing, ""]
    folder = Path(job["folder"])
    place = min(str(folder), os.path.relpath(folder), key=len)
    try:
        result = read_result(folder)
    except Unreadable:
        return ["failed", *nothing, place]
    status = status_of(folder, result) + (", skipped" if job.get("skipped") else "")
    return [status, *(_text(quantity, quantity.of(result)) for quantity in shown("sweep")), place]


def _text(quantity: Quantity, value: float | None) -> str:
    return "" if value is None else quantity.number(value, quantity.units[0])
