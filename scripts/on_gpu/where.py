"""Which machine, which versions, which commit: what makes numbers comparable."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from snnbench.runs.schema import TIME

PACKAGES = (
    "torch", "triton", "cupy-cuda13x", "cupy-cuda12x", "spikingjelly", "snntorch", "lightning", "numpy", "hydra-core",
)  # fmt: skip
FACTS = "name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit"


def where() -> dict[str, Any]:
    """What is known of this place without PyTorch; the commit is $SNNBENCH_COMMIT where git does not tell."""
    facts = said("nvidia-smi", f"--query-gpu={FACTS}", "--format=csv,noheader")
    first = [each.strip() for each in facts.splitlines()[0].split(",")] if facts else []
    return {
        "time": time.strftime(TIME),
        "gpu": dict(zip(FACTS.split(","), first, strict=False)),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "commit": os.environ.get("SNNBENCH_COMMIT") or said("git", "rev-parse", "HEAD") or "unknown",
    }


def said(*words: str) -> str:
    """What a command prints; "" if there is none, or it fails."""
    try:
        done = subprocess.run(words, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
