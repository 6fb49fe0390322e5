"""result.json: written by a run, and read by everybody, in one way."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from snnbench.errors import UserError
from snnbench.files import read_json, write_json
from snnbench.runs.folder import is_locked
from snnbench.runs.schema import RESULT, SCHEMA, WRITTEN, Result, Status

MOST_THREADS = 4096


class Unreadable(UserError):
    """A folder cannot be taken as a run's; the message names it, and the file in it, and says why."""


def read_result(folder: Path) -> Result:
    """The run's result.json, in which status and provenance are sound, and a finished run has an accuracy.

    Raises:
        Unreadable: it is missing, damaged, or of a version that is not known here.
    """
    try:
        found = read_json(folder / RESULT)
    except FileNotFoundError:
        raise Unreadable(f"{folder}: has no {RESULT}: it ended before training began") from None
    except OSError as error:
        raise Unreadable(f"{folder}: {RESULT} cannot be read ({brief(error)})") from error
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{folder}: {RESULT} is damaged ({brief(error)})") from error
    wrong = _wrong(found)
    if wrong:
        raise Unreadable(f"{folder}: {RESULT} {wrong}")
    return cast(Result, found)


def write_result(folder: Path, result: Result) -> None:
    """Replace the run's result.json, atomically; not-a-number and infinity are refused."""
    write_json(folder / RESULT, result)


def status_of(folder: Path, result: Result) -> Status:
    """The run's status: killed is one that says that it is running, while no process holds its folder's lock."""
    status = result["status"]
    return "killed" if status == "running" and not is_locked(folder) else status


def threads_of(result: Result) -> int | None:
    """The number of threads that the run's last start computed with, where that is known."""
    environment: Any = result.get("environment")
    count = environment.get("threads") if isinstance(environment, dict) else None
    return count if isinstance(count, int) and 0 < count <= MOST_THREADS else None


def _wrong(found: Any) -> str | None:
    """What of a result.json no reader could do without."""
    if not isinstance(found, dict) or "schema" not in found:
        return "is not a result of snnbench"
    if found["schema"] != SCHEMA:
        return f"has schema {str(found['schema'])[:20]}; this version reads {SCHEMA}"
    if found.get("status") not in WRITTEN or "provenance" not in found:
        return f"is damaged (status {found.get('status')!r})"
    accuracy = found.get("accuracy")
    last = accuracy.get("last_epoch") if isinstance(accuracy, dict) else None
    if found["status"] == "finished" and not isinstance(last, int | float):
        return "is damaged (finished without an accuracy)"
    return None


def brief(error: Exception) -> str:
    """Why, in a few words on one line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:120]
