"""What the hardware counts while a kernel runs, by Nsight Compute: how busy memory and instruction issue are."""

from __future__ import annotations

import csv
import functools
import sys
from typing import Any

from on_gpu.record import Record

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
    cases = {f"T={steps} {dtype}": functools.partial(row_of, steps, dtype, record) for steps, dtype in CASES}
    record.measure(cases)


def row_of(steps: int, dtype: str, record: Record) -> dict[str, Any]:
    """The counters of each neuron's forward and backward, all from one process.

    Raises:
        Late: it did not end in time.
        RuntimeError: it does not run here.
    """
    words = ["ncu", "--clock-control", "none", "--kernel-name", "regex:^(forward|backward)$", "--csv"]
    words += ["--page", "details", *(word for section in SECTIONS for word in ("--section", section))]
    words += [sys.executable, "-m", "on_gpu.kernels", str(steps), dtype, *NEURONS]
    done = record.ran(words)
    found = counted(done.stdout)
    kernels = [f"{neuron} {way}" for neuron in NEURONS for way in ("forward", "backward")]
    if [name.partition(" ")[2] for name in kernels] != [name for name, _ in found]:
        raise RuntimeError(f"counted {len(found)} kernels: {(done.stdout + done.stderr).strip()[-1500:]}")
    return {"kernels": dict(zip(kernels, (metrics for _, metrics in found), strict=True))}


def counted(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Each launch's kernel and metrics, from what Nsight Compute printed: lines of CSV among others."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for row in csv.DictReader(line for line in text.splitlines() if line.startswith('"')):
        _, metrics = found.setdefault(row["ID"], (row["Kernel Name"].partition("(")[0], {}))
        name, value = KEPT.get(row["Metric Name"]), row["Metric Value"].replace(",", "")
        if name is None or not value.replace(".", "", 1).isdigit():
            continue
        unit = row.get("Metric Unit", "")
        if name == "memory":  # a share in one section, bytes a second in another
            name = "memory_percent" if unit == "%" else "memory_bandwidth"
        metrics[name] = f"{value} {unit}".strip() if name in ("duration", "memory_bandwidth") else float(value)
    return list(found.values())
