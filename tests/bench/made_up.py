"""Comparisons of runs that nobody trained: accuracies by seed, with what a report shows of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from snnbench.bench.campaign import Campaign
from snnbench.bench.contestants import contestant, contestants
from snnbench.bench.suites import Part, Suite
from snnbench.runs.read import Run

Accuracy = Callable[[str, str, int, int], float]
"""Of data, neuron, T and seed."""


def suite(*data: str, least=4, most=8, steps=(2, 4), margin=0.5) -> Suite:
    return Suite("made_up", margin, least, most, tuple(Part(name, steps, 1000) for name in data))


def run(data: str, neuron: str, T: int, seed: int, accuracy: float) -> Run:
    config = {
        "T": T,
        "seed": seed,
        "epochs": 3,
        "data": {"name": data, "root": "nowhere"},
        "backbone": {"name": "convnet", "T": T},
        "neuron": {"name": neuron, "v_th": 1.0 if neuron != "klif" else 0.5},
    }
    result = {
        "provenance": "real",
        "accuracy": {"last_epoch": accuracy, "best_test_epoch": {"acc": 100.0, "epoch": 1}, "validation_chosen": None},
        "firing_rate": 0.1,
        "energy": {"model": "45nm", "picojoule": 1000.0 * T, "ac": 10.0, "mac": 1.0},
        "parameters": {"total": 1234567, "neurons": 3},
        "seconds": {"training": 20.0, "wall": 30.0},
        "fingerprint": {"samples": {"train": 1000, "test": 1000}, "files": None},
        "environment": {"revision": "abc", "cpu": "a CPU", "threads": 1},
    }
    return Run(Path("nowhere"), config, result, "finished", f"{data} {neuron} {T} {seed}")  # type: ignore[arg-type]


def campaign(accuracy: Accuracy, neuron: str, against: str, of: Suite, **more) -> tuple[Campaign, list, list[str]]:
    """One that was run: with it, whom it asked to train on what under which seed, and what it said."""
    asked, said = [], []

    def train(part, contestant, seeds, begins):
        runs = {}
        for seed in seeds:
            asked.append((part.data, contestant.neuron, seed))
            for T in part.steps:
                begins(T, seed)
                found = accuracy(part.data, contestant.neuron, T, seed)
                runs[T, seed] = run(part.data, contestant.neuron, T, seed, found)
        return runs

    found = Campaign(of, contestant(neuron), contestants(against), train, said.append, **more)
    found.run()
    return found, asked, said
