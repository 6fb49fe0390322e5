"""What a run says of where it ran: command, revision, versions and hardware."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path

import torch

from snnbench import commands
from snnbench.runs.schema import TIME, Environment

PACKAGES = ("snnbench", "torch", "torchvision", "lightning", "hydra-core", "timm", "tonic", "numpy", "cupy")


def environment() -> Environment:
    """Command, revision, versions and hardware of this process."""
    cuda = torch.cuda.is_available()
    revision, dirty = _revision()
    return {
        "command": commands.this(),
        "time": time.strftime(TIME),
        "revision": revision,
        "dirty": dirty,
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "cuda": torch.version.cuda if cuda else None,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else [],
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
    }


def _version(package: str) -> str | None:
    names = [package, f"{package}-cuda13x", f"{package}-cuda12x"] if package == "cupy" else [package]
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _revision() -> tuple[str | None, bool | None]:
    """The git commit of the code and whether it was modified; both None outside a checkout."""

    def git(*words: str) -> str:
        folder = Path(__file__).parent
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
