"""What the hardware counts while a kernel runs, by Nsight Compute: how busy memory and instruction issue are."""

from __future__ import annotations

import csv
import functools
import itertools
import subprocess
import sys
from typing import Any

from on_gpu.record import Late, Record

SECTIONS = ("SpeedOfLight", "MemoryWorkloadAnalysis", "ComputeWorkloadAnalysis", "LaunchStats", "Occupancy")
KEPT = {
    "Duration": "duration",
    "DRAM Throughput": "dram_percent",
    "Memory Throughput": "memory",
    "Issue Slots Busy": "issue_percent",
    "L1/TEX Hit Rate": "l1_hit_percent",
    "L2 Hit Rate": "l2_hit_percent",
    "Registers Per Thread": "registers",
    "Achieved Occupancy": "occupancy_percent",
    "Theoretical Occupancy": "occupancy_limit_percent",
    "Local Memory Spilling Requests": "spilling_requests",
}
"""Metrics, as Nsight Compute calls them, and as the rows do."""
CASES = ((4, "float32"), (4, "float16"), (16, "float16"))
NEURONS = ("LIF", "ARLIF", "GLIF")


def run(record: Record) -> None:
    cases = {
        f"{neuron} T={steps} {dtype}": functools.partial(row_of, neuron, steps, dtype, record)
        for (steps, dtype), neuron in itertools.product(CASES, NEURONS)
    }
    record.measure(cases)


def row_of(neuron: str, steps: int, dtype: str, record: Record) -> dict[str, Any]:
    """The counters of a forward and a backward.

    Raises:
        Late: it did not end in time.
        RuntimeError: it does not run here.
    """
    words = ["ncu", "--clock-control", "none", "--kernel-name", "regex:^(forward|backward)$", "--csv"]
    words += ["--page", "details", *(word for section in SECTIONS for word in ("--section", section))]
    words += [sys.executable, "-m", "on_gpu.kernels", neuron, str(steps), dtype]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=max(record.remaining - 1, 0))
    except subprocess.TimeoutExpired as error:
        raise Late from error
    found = counted(done.stdout)
    if not found:
        raise RuntimeError(f"nothing counted: {(done.stdout + done.stderr).strip()[-1500:]}")
    return found


def counted(text: str) -> dict[str, Any]:
    """The metrics by kernel, from what Nsight Compute printed: lines of CSV among others."""
    lines = [line for line in text.splitlines() if line.startswith('"')]
    found: dict[str, Any] = {}
    for row in csv.DictReader(lines):
        name, value = KEPT.get(row["Metric Name"]), row["Metric Value"].replace(",", "")
        if name is None or not value.replace(".", "", 1).isdigit():
            continue
        unit = row.get("Metric Unit", "")
        kernel = found.setdefault(row["Kernel Name"].partition("(")[0], {})
        if name == "memory":  # a share in one section, bytes a second in another
            name = "memory_percent" if unit == "%" else "memory_bandwidth"
        kernel[name] = f"{value} {unit}".strip() if name in ("duration", "memory_bandwidth") else float(value)
    return found
