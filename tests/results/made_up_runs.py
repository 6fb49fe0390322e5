"""Folders as training leaves them, as far as results look, made up in no time."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import yaml

from snnbench.config import compose_row

SECONDS = itertools.count()
DECAYS = {"squash": "none", "learn_alpha": False, "learn_beta": False}


def run(outputs: Path, neuron="dalif", T=2, seed=0, acc=90.0, layers=None, status="finished", options=(), **changes):
    """A run's folder as training leaves it, as far as figures look."""
    number = next(SECONDS)
    folder = outputs / f"run{number}"
    folder.mkdir(parents=True)
    config = {
        "T": T,
        "seed": seed,
        "epochs": 3,
        "data": {"name": "cifar10"},
        "backbone": {"name": "resnet20", "T": T},
        "neuron": {"name": neuron, **dict(options)},
        "optimizer": {"name": "sgd", "lr": 0.1},
        **changes,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    result = {
        "schema": 1,
        "status": status,
        "provenance": "real",
        "T": T,
        "seed": seed,
        "epochs": {"planned": 3, "run": 3},
        "accuracy": {"last_epoch": acc, "best_test_epoch": {"acc": acc + 1, "epoch": 1}, "validation_chosen": None},
        "layers": layers or {"units.0.neuron": {"firing_rate": 0.25}},
        "environment": {"time": f"2026-01-01T00:00:{number:05d}"},
    }
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "environment.jsonl").write_text(json.dumps(result["environment"]))
    return folder


def of_row(outputs: Path, row: str, curve: list[float], seed=0, neuron=(), epochs=None, **result) -> Path:
    """A finished run of this row with these test accuracies, its neuron changed as `neuron` says."""
    config = compose_row(row) | {"seed": seed}
    config["neuron"] |= dict(neuron)
    config["data"] |= {"seed": seed}
    epochs = epochs or config["epochs"]
    config["trainer"] |= {"max_epochs": epochs}
    best = {"acc": max(curve), "epoch": curve.index(max(curve))}
    changes = {key: value for key, value in config.items() if key not in ("T", "seed", "neuron")}
    folder = run(outputs, T=config["T"], seed=seed, **changes | {"epochs": epochs}, neuron="", options=config["neuron"])
    accuracy = {"last_epoch": curve[-1], "best_test_epoch": best, "validation_chosen": None}
    edit(folder, accuracy=accuracy, epochs={"planned": epochs, "run": epochs}, **result)
    lines = ["epoch,test/acc", *(f"{epoch},{value}" for epoch, value in enumerate(curve))]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    return folder


def edit(folder: Path, **values) -> None:
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(result | values))


def dalif(alpha: tuple[float, float], beta: tuple[float, float] = (0.1, 0.2)) -> dict:
    return {f"stages.{i}.unit1.neuron": {"firing_rate": 0.1, "alpha": alpha[i], "beta": beta[i]} for i in range(2)}
