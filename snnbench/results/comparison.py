"""Neurons under one recipe: mean, spread and number of seeds of each at every T, from finished runs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from snnbench.results import names
from snnbench.results.fair import distinctions, grouped, neuron, setting
from snnbench.results.ledger import Run
from snnbench.results.summary import Spread
from snnbench.results.tables import SHORT, Table

ENVIRONMENT = ("revision", "dirty", "versions", "cpu", "gpus", "threads")


@dataclass(frozen=True)
class Comparison:
    """Runs that differ in neuron, T and seed alone; `cells` by the neuron's label and T, in the table's order."""

    protocol: str
    cells: dict[tuple[str, int], list[Run]]

    @property
    def first(self) -> Run:
        return next(iter(self.cells.values()))[0]

    @property
    def title(self) -> str:
        run, counts = self.first, {len(runs) for runs in self.cells.values()}
        seeds = f"n = {counts.pop()} seeds" if len(counts) == 1 else "n as stated"
        parts = [names.data(run.config["data"]["name"]), names.backbone(run.config["backbone"]["name"])]
        parts += [f"{run.planned} epochs", SHORT[self.protocol], seeds]
        return ", ".join(parts) + ("" if run.provenance == "real" else f", not the real data: {run.provenance}")

    def accuracy(self, label: str, T: int) -> Spread:
        """Test accuracy in percent over the seeds."""
        return Spread.of([value for run in self.cells[label, T] if (value := run.accuracy(self.protocol)) is not None])


def compare(runs: Sequence[Run], protocol: str = "last_epoch") -> list[Comparison]:
    """A comparison for each setting with more than one neuron, from runs as fair.select chooses them."""
    found = []
    measured = [run for run in runs if run.accuracy(protocol) is not None]
    for same in grouped(measured, setting):
        variants = grouped(same, neuron)
        if len(variants) < 2:
            continue
        order = [*names.NEURONS, *sorted({_name(runs) for runs in variants} - names.NEURONS.keys())]
        variants.sort(key=lambda runs: order.index(_name(runs)))
        cells = {}
        for label, runs_of_one in zip(_labels(variants), variants, strict=True):
            for T in sorted({int(run.config["T"]) for run in runs_of_one}):
                cells[label, T] = [run for run in runs_of_one if run.config["T"] == T]
        found.append(Comparison(protocol, cells))
    return found


def _name(runs: Sequence[Run]) -> str:
    return str(runs[0].config["neuron"]["name"])


def _labels(variants: Sequence[Sequence[Run]]) -> list[str]:
    """The neurons' names, with what tells the variants of one neuron apart."""
    labels = []
    for runs in variants:
        rivals = [other for other in variants if _name(other) == _name(runs)]
        texts = distinctions([neuron(other[0]) for other in rivals])
        text = texts[rivals.index(runs)]
        labels.append(names.neuron(_name(runs)) + (f" ({text})" if text else ""))
    return labels


def table(comparison: Comparison) -> Table:
    """A line for each neuron: accuracy, firing rate and energy at each T."""
    steps = sorted({T for _, T in comparison.cells})
    uniform = "as stated" not in comparison.title
    columns: list[tuple[str, Callable[[str, int], str]]] = [
        ("accuracy %", lambda label, T: _accuracy(comparison.accuracy(label, T), uniform)),
        ("firing rate", lambda label, T: _mean(comparison.cells[label, T], firing_rate, "{:.3f}")),
        ("energy nJ", lambda label, T: _mean(comparison.cells[label, T], nanojoule, "{:.0f}")),
    ]
    found = Table(comparison.title, ("neuron", *(f"{name}, T={T}" for name, _ in columns for T in steps)))
    for label in dict.fromkeys(label for label, _ in comparison.cells):
        cells = [text(label, T) if (label, T) in comparison.cells else "-" for _, text in columns for T in steps]
        found.lines.append([label, *cells])
    return found


def _accuracy(spread: Spread, uniform: bool) -> str:
    return f"{spread.mean:.2f} ± {spread.std:.2f}" if uniform and spread.std is not None else str(spread)


def _mean(runs: Sequence[Run], value: Callable[[Run], float | None], form: str) -> str:
    values = [found for run in runs if (found := value(run)) is not None]
    return form.format(statistics.fmean(values)) if len(values) == len(runs) else "-"


def firing_rate(run: Run) -> float | None:
    """Spikes per neuron and timestep on the test set, over the whole network."""
    return run.result.get("firing_rate")


def nanojoule(run: Run) -> float | None:
    """Energy of a test sample by the 45 nm model, in nJ."""
    found = (run.result.get("energy") or {}).get("picojoule")
    return None if found is None else found / 1e3


def record(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """All of it for a JSON file: what was run where and how, and each run's values beside the means."""
    runs = [run for comparison in comparisons for cell in comparison.cells.values() for run in cell]
    machines: list[dict[str, Any]] = []
    for run in runs:
        machine = {key: run.result["environment"].get(key) for key in ENVIRONMENT}
        if machine not in machines:
            machines.append(machine)
    return {
        "commands": sorted({run.command for run in runs}),
        "machines": machines,
        "comparisons": [
            {
                "title": comparison.title,
                "protocol": comparison.protocol,
                "cells": [_cell(comparison, label, T) for label, T in comparison.cells],
            }
            for comparison in comparisons
        ],
    }


def _cell(comparison: Comparison, label: str, T: int) -> dict[str, Any]:
    spread, runs = comparison.accuracy(label, T), comparison.cells[label, T]
    return {
        "neuron": label,
        "T": T,
        "mean": spread.mean,
        "std": spread.std,
        "n": spread.n,
        "recipe": runs[0].recipe,
        "runs": [
            {
                "seed": run.seed,
                "accuracy": run.result["accuracy"],
                "firing_rate": firing_rate(run),
                "nanojoule": nanojoule(run),
                "parameters": run.result.get("parameters"),
                "seconds": run.result.get("seconds"),
            }
            for run in runs
        ],
    }
