"""The tests that run on a GPU; where there is none, those that run its kernels' text and host code without one."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path

import pytest

from on_gpu.outcomes import DEVICE, PASSED, Outcomes
from on_gpu.record import Record, name_of

TESTS = "tests/kernels"
REPLAYS = sorted(str(path) for path in Path("tests/training").glob("test_replay*.py"))
"""Tests of replayed steps, which need Hydra and Lightning."""
WORKERS = 14
"""Processes at most: each holds a context of the GPU."""


def run(record: Record) -> None:
    outcomes = Outcomes(record)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(outcomes.passed))
        file.flush()
        device = name_of(record.found)
        os.environ |= {PASSED: file.name, DEVICE: device}
        code = pytest.main([*words(bool(device)), f"--junit-xml={record.path.with_suffix('.xml')}"], plugins=[outcomes])
    outcomes.write()
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
        record.add("pytest", {"error": f"{pytest.ExitCode(code).name}; see the log"})


def words(device: bool) -> list[str]:
    """Files and options; fixtures of the folders above are left out, for they import what these tests do not need."""
    also = REPLAYS if device and all(map(importlib.util.find_spec, ("hydra", "lightning"))) else []
    found = [TESTS, *also, "-p", "on_gpu.outcomes", f"--confcutdir={TESTS}", "--continue-on-collection-errors"]
    found += ["--tb=short", "-p", "no:cacheprovider"]
    count = min(WORKERS, (os.cpu_count() or 2) - 1)
    if count > 1 and importlib.util.find_spec("xdist"):
        found += ["-n", str(count), "--dist", "worksteal"]
    return found
