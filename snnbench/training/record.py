"""What a run writes about itself: environment.jsonl and result.json."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from snnbench.energy.counter import parameter_counts
from snnbench.files import write_json
from snnbench.training.folder import is_main_process
from snnbench.training.history import History
from snnbench.training.module import SpikingClassifier

RESULT_SCHEMA = 1
PACKAGES = ("snnbench", "torch", "torchvision", "lightning", "hydra-core", "timm", "tonic", "numpy", "cupy")


def environment() -> dict[str, Any]:
    """Command, revision, versions and hardware of this process."""
    cuda = torch.cuda.is_available()
    return {
        "command": shlex.join([Path(sys.executable).name, *sys.argv]),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **_revision(),
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


def _revision() -> dict[str, Any]:
    """The git commit of the code and whether it was modified; both None outside a checkout."""

    def git(*words: str) -> str:
        folder = Path(__file__).parent
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"revision": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return {"revision": None, "dirty": None}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


class Record:
    """Keeps a run's result.json true while the run goes on.

    Args:
        folder: the run's folder.
        cfg: the resolved config.
        data: the data module, for what it knows of its provenance.
    """

    def __init__(self, folder: Path, cfg: DictConfig, data: Any) -> None:
        self.folder = folder
        self._cfg = cfg
        self._environment = environment()
        self._identity = {
            "schema": RESULT_SCHEMA,
            "name": cfg.name,
            "tags": list(cfg.tags),
            "row": OmegaConf.to_container(cfg.row) if cfg.row else None,
            **{key: cfg[key].get("name") for key in ("data", "backbone", "neuron", "norm", "loss", "optimizer")},
            **{key: cfg[key] for key in ("T", "seed", "batch_size")},
            "provenance": data.provenance,
            "split": data.split,
            "data_details": dict(data.details),
        }

    def start(self) -> None:
        """Leave the environment and a result that says "running", which a killed run will keep saying."""
        _reset_peak_memory()
        if not is_main_process():
            return
        with (self.folder / "environment.jsonl").open("a") as file:  # a line for each start of the run
            file.write(json.dumps(self._environment) + "\n")
        self._write({"status": "running", "error": None})

    def fail(self, status: str, error: str, history: History) -> None:
        """Say that the run ended early: "failed" or "interrupted", and what it had reached."""
        values = {"status": status, "error": error, "epochs": self._epochs(history)}
        self._write({**values, "accuracy": _accuracy(history), "seconds": self._seconds(history)})

    def finish(self, module: SpikingClassifier, history: History) -> dict[str, Any]:
        """Write the final result and return it."""
        return self._write(
            {
                "status": "finished",
                "error": None,
                "epochs": self._epochs(history),
                "accuracy": _accuracy(history),
                "final_loss": {key: value for key, value in history.metrics[-1].items() if key.endswith("loss")},
                "firing_rate": history.metrics[-1].get("test/firing_rate"),
                "layers": history.last_layers(),
                "energy": history.energy,
                "parameters": parameter_counts(module.network),
                "samples_per_second": history.train_samples / history.train_seconds if history.train_seconds else None,
                "peak_memory_bytes": _peak_memory(),
                "seconds": self._seconds(history),
            }
        )

    def _write(self, values: dict[str, Any]) -> dict[str, Any]:
        result = {**self._identity, **values, "environment": self._environment}
        if is_main_process():
            write_json(self.folder / "result.json", result)
        return result

    def _epochs(self, history: History) -> dict[str, int]:
        return {"planned": self._cfg.epochs, "run": len(history.metrics)}

    def _seconds(self, history: History) -> dict[str, float]:
        return {"training": history.train_seconds, "wall": history.wall_seconds}


def _accuracy(history: History) -> dict[str, Any]:
    """Test accuracy in percent by how it was chosen: never one passed off as another."""
    if not history.metrics:
        return {"last_epoch": None, "best_test_epoch": None, "validation_chosen": None}
    chosen = {}
    for label, metric in (("best_test_epoch", "test/acc"), ("validation_chosen", "val/acc")):
        row = history.best(metric)
        chosen[label] = row and {"acc": row["test/acc"], "epoch": row["epoch"]}
    return {"last_epoch": history.metrics[-1].get("test/acc"), **chosen}


def _reset_peak_memory() -> None:
    """Begin the peak anew, so that a sweep's later jobs do not report an earlier one's."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory() -> int:
    """Bytes, since the run began: allocated on the GPU where there is one, else resident in this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        status = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in status if line.startswith("VmHWM:")).split()[1]) * 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
