"""A plugin for pytest: which tests say something of a GPU, and what became of each, as it happens."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from typing import Any

import pytest

from on_gpu.record import Record

PASSED = "GPU_REPORT_PASSED"
"""The variable with a file that lists tests that need not run again."""
DEVICE = "GPU_REPORT_DEVICE"
"""The variable that says whether there is a GPU."""
EVERY = 2.0
"""Seconds between two writes."""
SHOWN, LINES = 20, 400
"""Failures of a file whose text is kept, and characters of one."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Also in the processes of pytest-xdist, which know of this module by its name alone."""
    with open(os.environ[PASSED]) as file:
        passed = set(file.read().splitlines())
    kept = [item for item in items if item.nodeid not in passed and tells(item, bool(os.environ[DEVICE]))]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def tells(item: pytest.Item, device: bool) -> bool:
    """Whether a test runs a kernel on the GPU; or, where there is none, makes up for it."""
    _, _, parameters = item.name.partition("[")
    if device:
        return "cuda" in parameters or item.path.stem.startswith(("test_cuda_device", "test_replay"))
    return any(word in item.path.stem for word in ("cuda", "ptx")) and "cuda" not in parameters


class Outcomes:
    """A row for each file of tests, up to date within seconds; and the names of those that passed."""

    def __init__(self, record: Record) -> None:
        self.record, self.written = record, 0.0
        self.passed: list[str] = record.before.get("passed", [])
        rows = {row["case"]: row for row in record.found["rows"]}
        self.rows: dict[str, dict[str, Any]] = defaultdict(lambda: {"passed": 0, "failed": 0, "skipped": 0}, rows)
        for row in self.rows.values():
            row |= {"failed": 0, "failures": {}, "wrong": ""}  # these run again

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file = report.nodeid.partition("::")[0]
        row = self.rows[file]
        if report.failed:
            row["failed"] += 1
            row["wrong"] = f"{row['failed']} failed"
            failures = row.setdefault("failures", {})
            if len(failures) < SHOWN:
                failures[report.nodeid.partition("::")[2]] = short(report)
        elif report.skipped:
            row["skipped"] += 1
        elif report.when == "call":
            row["passed"] += 1
            self.passed.append(report.nodeid)
        if time.monotonic() - self.written > EVERY:
            self.write()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be read for want of a package is left; any other way it is wrong."""
        if report.failed:
            text = str(report.longrepr)
            lacks = next((line for line in text.splitlines() if "No module named" in line), "")
            if lacks:
                self.record.leave([report.nodeid], lacks.partition("No module named")[2].strip())
            else:
                self.rows[report.nodeid] |= {"wrong": "cannot be collected", "failures": {"": text[-LINES:]}}

    def write(self) -> None:
        self.written = time.monotonic()
        self.record.found["passed"] = self.passed
        for file, row in self.rows.items():
            self.record.put(file, row)
        self.record.write()


def short(report: pytest.TestReport) -> str:
    """What a failure says, without its traceback."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr)[:LINES]
