"""Stages run one after the other, each in a process of its own that ends in time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from on_gpu import record
from on_gpu.stages import Stage, missing, path
from snnbench.files import write_json

SCRIPTS = Path(__file__).parent.parent
LEAST = 10.0
"""Seconds under which a stage is not begun: that is what importing PyTorch and finding the device takes."""
MARGIN = 3.0
"""Seconds before its limit at which a stage should have ended by itself, and written what it left."""
TAIL = 2000
"""Characters of a log's end that are kept of a stage that broke."""


def report(stages: Sequence[Stage], folder: Path, budget: float, gpu: str, keep_going: bool = False) -> dict[str, str]:
    """Run what is not finished yet, and say of each stage how it ended, or why it did not run.

    Args:
        stages: in order.
        folder: for a JSON file and a log of each.
        budget: seconds for all of them. Each may take its share of what is left; what it does not need, later ones may.
        gpu: the name of the one that is here, or "". What another one left in this folder is measured anew.
        keep_going: whether stages run behind a red gate, too.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + budget
    ended: dict[str, str] = {}
    closed = ""
    for number, stage in enumerate(stages):
        before = record.read(folder, stage.name, gpu).get("state")
        if before in record.FINISHED:
            ended[stage.name] = f"{before} (of a run before)"
        elif closed:
            ended[stage.name] = f"not begun: {closed} is red"
            continue
        elif why := missing(stage, bool(gpu)):
            ended[stage.name] = f"{record.OUT}: {why}"
            continue
        else:
            later = sum(each.seconds for each in stages[number:] if _runs(each, folder, gpu))
            seconds = min(stage.seconds, (end - time.monotonic()) * stage.seconds / later)
            if seconds < min(LEAST, stage.seconds):
                ended[stage.name] = "not begun: the budget is spent"
                continue
            before = ended[stage.name] = run(stage, folder, seconds)
        if stage.gate and before in (record.RED, record.BROKEN) and not keep_going:
            closed = stage.name
    return ended


def _runs(stage: Stage, folder: Path, gpu: str) -> bool:
    """Whether a stage has something left to do, and can."""
    finished = record.read(folder, stage.name, gpu).get("state") in record.FINISHED
    return not finished and not missing(stage, bool(gpu))


def run(stage: Stage, folder: Path, seconds: float) -> str:
    """Run a stage for so long at most; its state."""
    print(f"{stage.name}: {stage.about} ({seconds:.0f} s at most)", flush=True)
    began = time.monotonic()
    log = folder / f"{stage.name}.log"
    paths = [str(SCRIPTS), str(SCRIPTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", "PATH": path()}
    own = max(seconds / 2, seconds - MARGIN)  # a stage that looks at the clock ends by itself
    words = [sys.executable, "-m", "on_gpu.child", stage.module, stage.name, str(folder), str(own)]
    with log.open("ab") as out:
        process = subprocess.Popen(
            words, cwd=SCRIPTS.parent, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and whatever it started
            process.wait()
    state = record.read(folder, stage.name).get("state", record.RUNNING)
    if code is None:
        state = record.RED if record.wrong(record.read(folder, stage.name)) else record.LATE
    elif code or state == record.RUNNING:
        state = record.BROKEN
        end = log.read_bytes()[-TAIL:].decode(errors="replace")
        _set(folder, stage, why=f"exit code {code}", log=end)
    _set(folder, stage, state=state, wall_seconds=time.monotonic() - began)
    print(f"{stage.name}: {state} after {time.monotonic() - began:.0f} s", flush=True)
    return state


def _set(folder: Path, stage: Stage, **values: Any) -> None:
    found = record.read(folder, stage.name)
    if values.get("state") in (record.LATE, record.RED) and "current" in found:  # it was ended in the middle of this
        found.setdefault("left", []).append({"case": found.pop("current"), "why": record.TIME})
    write_json(record.path_of(folder, stage.name), {"stage": stage.name, "rows": [], **found, **values})
