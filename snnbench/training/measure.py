"""What a run measures for its result.json: one function for each of its keys."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from snnbench import memory
from snnbench.energy.counter import parameter_counts
from snnbench.runs.schema import EPOCH, RATE, RESULT, TEST_ACC, TEST_RATE, VAL_ACC, Accuracy, Chosen, Identity
from snnbench.training.history import History
from snnbench.training.module import SpikingClassifier


@dataclass(frozen=True)
class Measure:
    """Gives the value of a key of result.json; `early`: also of a run that ended early, or before its first epoch."""

    value: Callable[[SpikingClassifier, History], Any]
    early: bool = False


MEASURES: dict[str, Measure] = {}
NOT_MEASURED = {*Identity.__annotations__, "status", "error", "cause", "diverged", "epochs", "environment"}
Function = Callable[[SpikingClassifier, History], Any]


def measures(key: str, early: bool = False) -> Callable[[Function], Function]:
    """Decorates the function that measures `key` of result.json once training has ended.

    It takes the trained module and the run's history, and returns what JSON can hold: a number, or None where there is
    none, or these in dicts and lists. Of several processes each calls it; the first one's value is recorded.

    Raises:
        ValueError: the key is taken.
    """

    def register(function: Function) -> Function:
        if key in MEASURES or key in NOT_MEASURED:
            raise ValueError(f"{key}: this key of {RESULT} is taken")
        MEASURES[key] = Measure(function, early)
        return function

    return register


def measured(module: SpikingClassifier, history: History, *, early: bool = False) -> dict[str, Any]:
    """The value of every key; of a run that ended early, of those that can be had of it."""
    wanted = {key: measure for key, measure in MEASURES.items() if measure.early or not early}
    return {key: _storable(key, measure.value(module, history)) for key, measure in wanted.items()}


def _storable(key: str, value: Any) -> Any:
    """As JSON has it; a number that is not finite becomes None, which is said, lest it cost the run its result."""
    if isinstance(value, Mapping):
        return {str(name): _storable(f"{key}.{name}", part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(key, part) for part in value]
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        logging.getLogger("snnbench").warning("%s is %s, which is not recorded", key, value)
        return None
    return value


@measures("accuracy", early=True)
def accuracy(module: SpikingClassifier, history: History) -> Accuracy:
    """Test accuracy in percent by how it was chosen: never one passed off as another."""
    last = history.metrics[-1].get(TEST_ACC) if history.metrics else None
    best, chosen = _best(history, TEST_ACC), _best(history, VAL_ACC)
    return {"last_epoch": last, "best_test_epoch": best, "validation_chosen": chosen}


def _best(history: History, metric: str) -> Chosen | None:
    row = history.best(metric)
    return {"acc": row[TEST_ACC], "epoch": int(row[EPOCH])} if row else None


@measures("final_loss")
def final_loss(module: SpikingClassifier, history: History) -> dict[str, float]:
    return {key: value for key, value in history.metrics[-1].items() if key.endswith("loss")}


@measures(RATE)
def firing_rate(module: SpikingClassifier, history: History) -> float | None:
    """Spikes per neuron and timestep on the test set, over the whole network."""
    return history.metrics[-1].get(TEST_RATE)


@measures("layers")
def layers(module: SpikingClassifier, history: History) -> dict[str, dict[str, float]]:
    return history.last_layers()


@measures("energy")
def energy(module: SpikingClassifier, history: History) -> dict[str, Any] | None:
    return history.energy


@measures("parameters")
def parameters(module: SpikingClassifier, history: History) -> dict[str, int]:
    return parameter_counts(module.network)


@measures("samples_per_second")
def samples_per_second(module: SpikingClassifier, history: History) -> float | None:
    """In training, over all devices, without evaluation."""
    return history.train_samples / history.train_seconds if history.train_seconds else None


@measures("peak_memory_bytes")
def peak_memory(module: SpikingClassifier, history: History) -> int:
    """Since `reset_peak_memory`: allocated on the GPU where there is one, else resident in this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return memory.peak()


def reset_peak_memory() -> None:
    """Begin the peak anew, so that a sweep's later jobs do not report an earlier one's."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


@measures("seconds", early=True)
def seconds(module: SpikingClassifier, history: History) -> dict[str, float]:
    return {"training": history.train_seconds, "wall": history.wall_seconds}
