"""What is here, what the engines say, and how fast memory is."""

from __future__ import annotations

import contextlib
import io
import statistics
from typing import Any

import torch
from timing import between_events, captured, copier, spread

from on_gpu.record import Record
from snnbench import doctor

GIBIBYTES = (1, 4)


def run(record: Record) -> None:
    cases = {"engines": engines}
    if torch.cuda.is_available():
        cases["device"] = device
        cases |= {f"{dtype} {size} GiB".removeprefix("torch."): lambda dtype=dtype, size=size: bandwidth(dtype, size)
                  for size in GIBIBYTES for dtype in (torch.float32, torch.float16)}  # fmt: skip
    record.measure(cases)


def engines() -> dict[str, Any]:
    """What `python -m snnbench.doctor` says; wrong if there is a GPU whose kernels do not agree with the reference."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        doctor.main()
    lines = text.getvalue().splitlines()
    agree = any(line.startswith("cuda:0") and "agrees with the reference" in line for line in lines)
    return {"said": lines, "wrong": "" if agree or not torch.cuda.is_available() else "no CUDA kernel agrees"}


def device() -> dict[str, Any]:
    found = torch.cuda.get_device_properties(0)
    return {
        "name": found.name,
        "capability": f"{found.major}.{found.minor}",
        "multiprocessors": found.multi_processor_count,
        "memory_gib": found.total_memory / 2**30,
        "l2_mib": found.L2_cache_size / 2**20,
    }


def bandwidth(dtype: torch.dtype, gibibytes: int) -> dict[str, Any]:
    """TB/s of a copy and of a sum of two tensors of so many GiB, bytes read and written counted; and their spread."""
    x = torch.randn(gibibytes * 2**30 // dtype.itemsize, dtype=dtype, device="cuda")
    y, out = torch.randn_like(x), torch.empty_like(x)
    steps = {"copy": copier(x), "read2write1": lambda: torch.add(x, y, out=out)}
    times = between_events({name: captured(step) for name, step in steps.items()}, 0.3)
    moved = {"copy": 2, "read2write1": 3}
    return {
        "tb_per_second": {
            name: moved[name] * x.numel() * x.element_size() / statistics.median(found) / 1e12
            for name, found in times.items()
        },
        "spread": {name: spread(found) for name, found in times.items()},
    }
