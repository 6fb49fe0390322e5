"""What compute-sanitizer finds in calls of odd sizes: accesses outside memory, and of memory that nobody wrote."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from typing import Any

from on_gpu.record import Late, Record

TOOLS = ("memcheck", "initcheck")
NEURONS = ("LIF", "GLIF", "ARLIF", "DALIF")
SHOWN = 1500
_SUMMARY = re.compile(r"ERROR SUMMARY: (\d+) error")


def run(record: Record) -> None:
    cases = ((neuron, tool) for neuron in NEURONS for tool in TOOLS)
    record.measure({f"{tool} {neuron}": functools.partial(row_of, tool, neuron, record) for neuron, tool in cases})


def row_of(tool: str, neuron: str, record: Record) -> dict[str, Any]:
    """Errors that a tool counts in one neuron's calls.

    Raises:
        Late: it did not end in time.
        RuntimeError: the calls failed.
    """
    env = os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    words = ["compute-sanitizer", "--tool", tool, "--print-limit", "10", sys.executable, "-m", "on_gpu.odd", neuron]
    try:
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=max(record.remaining - 1, 0))
    except subprocess.TimeoutExpired as error:
        raise Late from error
    return found_in(done.stdout + done.stderr)


def found_in(text: str) -> dict[str, Any]:
    """The row for what a tool printed; without a summary, it cannot look at this device.

    Raises:
        RuntimeError: it found nothing, but the calls did not come to their end.
    """
    summary = _SUMMARY.search(text)
    calls = re.search(r"^(\d+) calls$", text, re.MULTILINE)
    if summary is None:
        return {"unavailable": text.strip()[-SHOWN:]}
    if calls is None and summary[1] == "0":
        raise RuntimeError(f"the calls failed: {text.strip()[-SHOWN:]}")
    errors = int(summary[1])
    row: dict[str, Any] = {"errors": errors, "calls": int(calls[1]) if calls else None}
    return row | ({"wrong": f"{errors} errors", "said": text[:SHOWN]} if errors else {})
