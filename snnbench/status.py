"""What the jobs of one command tell the process that started them: lines of JSON in a file they all append to."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from snnbench import terminal
from snnbench.runs.quantities import shown
from snnbench.runs.quantity import Quantity
from snnbench.runs.result import Unreadable, read_result, status_of
from snnbench.runs.schema import TIME

WIDEST = 10_000  # characters, of a line that no terminal breaks
STATUS_FILE = "SNNBENCH_STATUS_FILE"


def is_sweep() -> bool:
    """Whether this process is in a job of a sweep (`train.py -m`)."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def begin(path: str) -> None:
    """From now on facts are told into the file at `path`, by this process and those that it starts."""
    os.environ[STATUS_FILE] = path
    _append(began=time.strftime(TIME))


def tell(job: int | None = None, **facts: Any) -> None:
    """Add to what is known of a job; of this one, where none is given.

    Facts are `words` (its overrides), `action` and `run` (what is to be done, see `sweep`), `folder`, `code` (its exit
    code) and `skipped`.
    """
    if STATUS_FILE in os.environ:
        _append(job=_number() if job is None else job, **facts)


def _append(**facts: Any) -> None:
    with open(os.environ[STATUS_FILE], "a") as file:  # one short write: lines of parallel jobs do not mix
        file.write(json.dumps(facts) + "\n")


def _number() -> int:
    from hydra.core.hydra_config import HydraConfig

    return int(HydraConfig.get().job.num) if is_sweep() else 0


def of_this_job() -> dict[str, Any]:
    """What is known of the job that this process is in, and `began`, when its command was given."""
    lines = Path(os.environ[STATUS_FILE]).read_text().splitlines()
    known = {job["job"]: job for job in collect(lines)}
    return {**json.loads(lines[0]), **known.get(_number(), {})}


def collect(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The facts of each job, in the order of the jobs."""
    jobs: dict[int, dict[str, Any]] = {}
    for line in lines:
        facts = json.loads(line)
        if "job" in facts:
            jobs.setdefault(facts["job"], {}).update(facts)
    return [jobs[number] for number in sorted(jobs)]


def print_table(jobs: list[dict[str, Any]]) -> None:
    """One line for each job of a sweep: what is its own, how it ended, its test accuracy, its folder."""
    from rich.console import Console
    from rich.table import Table

    common = set.intersection(*(set(job["words"]) for job in jobs)) if len(jobs) > 1 else set()
    table = Table(title=f"sweep: {len(jobs)} jobs", title_justify="left")
    for name in ("job", "status"):
        table.add_column(name)
    for quantity in shown("sweep"):
        table.add_column(quantity.head(quantity.units[0]), justify="right")
    table.add_column("folder", overflow="fold")
    for job in jobs:
        words = " ".join(word for word in job["words"] if word not in common)
        table.add_row(words, *_outcome(job))
    Console(width=terminal.width() or WIDEST).print(table, markup=False, highlight=False)


def _outcome(job: Mapping[str, Any]) -> list[str]:
    """Status, the quantities of a sweep's table, folder."""
    nothing = [""] * len(shown("sweep"))
    if "folder" not in job:
        return ["failed" if job.get("code") else "not started", *nothing, ""]
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
