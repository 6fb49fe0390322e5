"""How much a row's training has to compute, and so about how long a GPU takes.

`scripts/estimate_rows.py` keeps the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from snnbench.runs.quantity import Format
from snnbench.runs.recipe import lookup

FILE = Path(__file__).with_name("work.json")
# Samples to train and to test on, of all published data; CIFAR10-DVS as the papers split it.
SAMPLES = {
    "mnist": (60_000, 10_000),
    "fashion_mnist": (60_000, 10_000),
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "tiny_imagenet": (100_000, 10_000),
    "imagenet": (1_281_167, 50_000),
    "nmnist": (60_000, 10_000),
    "cifar10dvs": (9_000, 1_000),
    "dvs128gesture": (1_176, 288),
}
BACKWARD = 2  # times the forward: the gradients of inputs and of weights
# A step of ResNet-20 with LIF, batch 128, T=4, float32, took 17.0 ms on one H200 (benchmarks/results/h200/step.json).
# Its forward is 0.857 G multiply-accumulates a sample, through 19 layers of neurons.
STEP = 17.0e-3
RATE = 0.857e9 * 128 * (1 + BACKWARD) / STEP  # multiply-accumulates a second
LAYER = STEP / 19  # seconds for the host to start a layer of neurons and what stands before it, both ways


def row_work(config: Mapping[str, Any], macs: float, layers: int) -> list[float]:
    """[multiply-accumulates of a whole training with its evaluations, layers of neurons that it steps through].

    Args:
        config: of a row, resolved.
        macs: of its network for one sample, all timesteps, forward.
        layers: of neurons in it.
    """
    samples, test = SAMPLES[str(lookup(config, "data.name"))]
    validation = samples * float(lookup(config, "data.val_fraction") or 0.0)
    train = samples - validation
    epochs, steps = float(config["epochs"]), train / float(config["batch_size"])
    return [epochs * macs * (train * (1 + BACKWARD) + validation + test), epochs * steps * layers]


def estimate(row: str) -> str | None:
    """The time on one H200 in hours; None for a row that is not in the file."""
    if row not in _stored():
        return None
    macs, layers = _stored()[row]
    return f"~{Format('significant', 2)(max(macs / RATE, layers * LAYER) / 3600)} h"


@cache
def _stored() -> dict[str, list[float]]:
    return {str(row): list(map(float, work)) for row, work in json.loads(FILE.read_text()).items()}
