"""How runs ended that did not finish: why, and the command to go on."""

from __future__ import annotations

import shlex
from typing import Any

from snnbench import commands
from snnbench.runs.read import Run

CAUSES = {
    "program": "stopped by an error that would come again",
    "machine": "stopped by the machine",
    "user": "stopped by Ctrl-C",
}
KILLED = "ended without a word: its process was killed, or its machine went down"
UNKNOWN = "stopped, for a cause that was not recorded"


def ending(run: Run) -> dict[str, Any] | None:
    """Of a run that ended early: {"cause": in words, "advice", "command": to go on, or None}; None of any other."""
    if run.status in ("finished", "running"):
        return None
    cause = run.result.get("cause")
    words = KILLED if run.status == "killed" else CAUSES.get(str(cause), UNKNOWN)
    if run.status in ("killed", "interrupted") or cause == "machine":
        return {"cause": words, "advice": "goes on from its last epoch", "command": commands.train(resume=run.folder)}
    return {"cause": words, "advice": "mend what it says, then begin anew", "command": _again(run.command) or None}


def _again(command: str) -> str:
    """The command of the run; of a sweep, so that it begins failed jobs anew, which it leaves otherwise."""
    try:
        words = shlex.split(command)
    except ValueError:  # it was edited
        return command
    sweep = {"-m", "--multirun"} & set(words)
    return f"{command} retry=failed" if sweep and "retry=failed" not in words else command
