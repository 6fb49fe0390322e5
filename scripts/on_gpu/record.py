"""What a stage found, in a file that is whole after each of its cases."""

from __future__ import annotations

import json
import subprocess
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from snnbench.files import read_json, write_json

RUNNING, GREEN, RED, LATE, BROKEN, OUT = "running", "green", "red", "out of time", "broken", "left out"
"""How stages end. Late and broken ones have rows, too, and go on from them; one that is left out has no file."""
FINISHED = (GREEN, RED)
LONGEST = 2000
"""Characters of what an error said that are kept."""

TIME = "time"
"""Why a case was left that a later run takes up."""

Row = dict[str, Any]
Cases = Mapping[str, Callable[[], Row]]


def path_of(folder: Path, stage: str) -> Path:
    return folder / f"{stage}.json"


def read(folder: Path, stage: str, gpu: str | None = None) -> dict[str, Any]:
    """What is known of a stage; {} if it never ran, or not on this GPU."""
    path = path_of(folder, stage)
    found: dict[str, Any] = read_json(path) if path.exists() else {}
    return found if gpu is None or name_of(found) == gpu else {}


def name_of(found: dict[str, Any]) -> str:
    """The GPU that a stage's file is about, or ""."""
    name: str = found.get("where", {}).get("gpu", {}).get("name", "")
    return name


def wrong(found: dict[str, Any]) -> bool:
    """Whether a case is not as it has to be, or failed."""
    return any(row.get("wrong") or "error" in row for row in found.get("rows", []))


class Late(Exception):
    """There is no time for this case."""


class Record:
    """The rows of a stage.

    Args:
        folder, stage: where the file is. Rows that a run before left there are kept, but those of errors and of
            another GPU.
        seconds: what is left to the stage.
        where: device, versions and commit, for the file.

    Attributes:
        found: what the file says.
        before: what it said.
    """

    def __init__(self, folder: Path, stage: str, seconds: float, where: Row | None = None) -> None:
        self.path, self.end = path_of(folder, stage), time.monotonic() + seconds
        self.found: Row = {"stage": stage, "state": RUNNING, "where": where or {}}
        self.before = read(folder, stage, name_of(self.found))
        rows = [row for row in self.before.get("rows", []) if "error" not in row]
        self.found |= {"rows": rows, "left": []}
        self.write()

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, self.found)

    def ran(
        self, words: Sequence[str], margin: float = 1.0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A command that ended in the stage's time, `margin` seconds before its end, and what it said.

        Raises:
            Late: it did not.
        """
        try:
            return subprocess.run(
                words, env=env, capture_output=True, text=True, timeout=max(self.remaining - margin, 0)
            )
        except subprocess.TimeoutExpired as error:
            raise Late from error

    @property
    def remaining(self) -> float:
        return self.end - time.monotonic()

    def note(self, **values: Any) -> None:
        """Facts of the whole stage."""
        self.found.update(values)
        self.write()

    def known(self, case: str) -> Row | None:
        """The row of a case that has one."""
        return next((row for row in self.found["rows"] if row["case"] == case), None)

    def add(self, case: str, row: Row) -> Row:
        """A row, written at once: "wrong" in it says what is not as it has to be, "error" why there is no result."""
        self.put(case, row)
        self.write()
        return row

    def put(self, case: str, row: Row) -> None:
        """A row in its case's place, not yet written."""
        rows = {each["case"]: each for each in self.found["rows"]} | {case: {**row, "case": case}}
        self.found["rows"] = list(rows.values())

    def leave(self, cases: Iterable[str], why: str) -> None:
        """Cases that were not run, and why."""
        new = [{"case": case, "why": why} for case in cases]
        self.found["left"] += [each for each in new if each not in self.found["left"]]
        self.write()

    def measure(self, cases: Cases) -> None:
        """Run the cases in order, but those that have a row; one that fails has its error for a row.

        What would likely not end in time, as it looks from the longest of these so far, is left and named.
        """
        todo = [case for case in cases if self.known(case) is None]
        longest = 0.0
        for number, case in enumerate(todo):
            if self.remaining <= longest:
                self.leave(todo[number:], TIME)
                return
            began = time.monotonic()
            print(f"{case} ({self.remaining:.0f} s left)", flush=True)
            self.note(current=case)
            try:
                row = cases[case]()
                json.dumps(row, allow_nan=False)
            except Late:
                self.leave([case], TIME)
                continue
            except Exception as error:
                traceback.print_exc()
                row = {"error": f"{type(error).__name__}: {error}"[:LONGEST]}
            took = time.monotonic() - began
            longest = max(longest, took)
            self.add(case, {**row, "took_seconds": took})

    def close(self) -> str:
        """The state at the end, as rows and what is left have it."""
        if wrong(self.found):
            state = RED
        elif any(left["why"] == TIME for left in self.found["left"]):
            state = LATE
        else:
            state = GREEN
        self.found.pop("current", None)
        self.note(state=state)
        return state
