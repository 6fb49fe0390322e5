"""What compute-sanitizer finds in calls of odd sizes: accesses outside memory, and of memory that nobody wrote."""

from __future__ import annotations

import functools
import os
import re
import sys
from typing import Any

from on_gpu.record import Late, Record

TOOLS = ("memcheck", "initcheck")
STARTING = 25.0
"""Seconds that PyTorch may take to start under a tool, and the last kind of calls to end."""
SHOWN = 1500
_SUMMARY = re.compile(r"ERROR SUMMARY: (\d+) error")
_CALLS = re.compile(r"^(\d+) of (\d+) calls$", re.MULTILINE)


def run(record: Record) -> None:
    record.measure({tool: functools.partial(row_of, tool, record) for tool in TOOLS})


def row_of(tool: str, record: Record) -> dict[str, Any]:
    """Errors that a tool counts in as many calls as its part of the time allows.

    Raises:
        Late: it did not end in time.
        RuntimeError: the calls failed.
    """
    part = record.remaining / (len(TOOLS) - TOOLS.index(tool))
    if part < STARTING:
        raise Late
    env = os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    words = ["compute-sanitizer", "--tool", tool, "--print-limit", "10"]
    words += [sys.executable, "-m", "on_gpu.odd", str(part - STARTING)]
    done = record.ran(words, margin=0.0, env=env)
    return found_in(done.stdout + done.stderr)


def found_in(text: str) -> dict[str, Any]:
    """The row for what a tool printed; without a summary, it cannot look at this device.

    Raises:
        RuntimeError: it found nothing, but the calls did not come to their end.
    """
    summary, calls = _SUMMARY.search(text), _CALLS.search(text)
    if summary is None:
        return {"unavailable": text.strip()[-SHOWN:]}
    if calls is None and summary[1] == "0":
        raise RuntimeError(f"the calls failed: {text.strip()[-SHOWN:]}")
    errors = int(summary[1])
    row: dict[str, Any] = {"errors": errors, "calls": calls[0] if calls else "ended early"}
    return row | ({"wrong": f"{errors} errors", "said": text[:SHOWN]} if errors else {})
