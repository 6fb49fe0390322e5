"""What a run writes about itself: environment.jsonl and result.json."""

from __future__ import annotations

import contextlib
import json
import resource
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig, OmegaConf

from snnbench.energy.counter import parameter_counts
from snnbench.runs.code import code_of
from snnbench.runs.environment import environment
from snnbench.runs.folder import is_main_process
from snnbench.runs.result import write_result
from snnbench.runs.schema import ENVIRONMENTS, SCHEMA, TEST_ACC, TEST_RATE, VAL_ACC, Result
from snnbench.training.history import History
from snnbench.training.module import SpikingClassifier


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
            "schema": SCHEMA,
            "name": cfg.name,
            "tags": list(cfg.tags),
            "row": OmegaConf.to_container(cfg.row) if cfg.row else None,
            **{key: cfg[key].get("name") for key in ("data", "backbone", "neuron", "norm", "loss", "optimizer")},
            **{key: cfg[key] for key in ("T", "seed", "batch_size")},
            "provenance": data.provenance,
            "split": data.split,
            "data_details": dict(data.details),
            "code": code_of(OmegaConf.to_container(cfg, resolve=True)),  # type: ignore[arg-type]
        }

    def start(self) -> None:
        """Leave the environment and a result that says "running", which a killed run will keep saying."""
        _reset_peak_memory()
        if not is_main_process():
            return
        with (self.folder / ENVIRONMENTS).open("a") as file:  # a line for each start of the run
            file.write(json.dumps(self._environment) + "\n")
        self._write({"status": "running", "error": None})

    def fail(self, status: str, error: str, history: History, diverged: bool = False) -> None:
        """Say that the run ended early: "failed" or "interrupted", and what it had reached.

        `diverged`: its numbers did, so that it would fail again.
        """
        values = {"status": status, "error": error, "diverged": diverged, "epochs": self._epochs(history)}
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
                "firing_rate": history.metrics[-1].get(TEST_RATE),
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
            write_result(self.folder, cast(Result, result))
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
    for label, metric in (("best_test_epoch", TEST_ACC), ("validation_chosen", VAL_ACC)):
        row = history.best(metric)
        chosen[label] = row and {"acc": row[TEST_ACC], "epoch": row["epoch"]}
    return {"last_epoch": history.metrics[-1].get(TEST_ACC), **chosen}


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
