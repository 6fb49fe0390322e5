"""Neurons under one recipe: mean, spread and number of seeds of each at every T, from finished runs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from snnbench.results import labels
from snnbench.results.outcomes import Spread
from snnbench.results.selection import LeftOut, distinctions, grouped, neuron, setting
from snnbench.results.tables.papers import SHORT, Table
from snnbench.runs.layers import picojoule
from snnbench.runs.read import Run

CONSTANTS = ("surrogate.name", "v_th", "v_reset", "detach_reset")
ENVIRONMENT = ("revision", "dirty", "versions", "cpu", "gpus", "threads")


@dataclass(frozen=True)
class Variant:
    """Runs of one neuron with one set of constants, by T: one run for each seed."""

    label: str
    runs: dict[int, list[Run]]


@dataclass(frozen=True)
class Comparison:
    """Runs that differ in neuron, T and seed alone; `apart` tells it from others of the same data and backbone."""

    protocol: str
    variants: list[Variant]
    apart: str = ""

    @property
    def cells(self) -> list[tuple[Variant, int, list[Run]]]:
        return [(variant, T, runs) for variant in self.variants for T, runs in variant.runs.items()]

    @property
    def seeds(self) -> int | None:
        """How many stand behind every cell, or None if that differs."""
        counts = {len(runs) for _, _, runs in self.cells}
        return counts.pop() if len(counts) == 1 else None

    @property
    def title(self) -> str:
        run = self.cells[0][2][0]
        seeds = {None: "n as stated", 1: "single seed"}.get(self.seeds, f"n = {self.seeds} seeds")
        parts = [labels.data(run.config["data"]["name"]), labels.backbone(run.config["backbone"]["name"])]
        parts += [f"{run.planned} epochs", SHORT[self.protocol], seeds, *([self.apart] if self.apart else [])]
        return ", ".join(parts) + ("" if run.provenance == "real" else f", not the real data: {run.provenance}")

    def accuracy(self, runs: Sequence[Run]) -> Spread:
        """Test accuracy in percent over the seeds of a cell."""
        return Spread.of([value for run in runs if (value := run.accuracy(self.protocol)) is not None])


def compare(runs: Sequence[Run], protocol: str = "last_epoch") -> tuple[list[Comparison], list[LeftOut]]:
    """A comparison for each setting with more than one neuron, from runs as selection.select chooses them.

    Returns:
        The comparisons; and each run that stands in none, with the reason.
    """
    left_out = [(run, f"no accuracy {SHORT[protocol]}") for run in runs if run.accuracy(protocol) is None]
    found: list[Comparison] = []
    for same in grouped([run for run in runs if run.accuracy(protocol) is not None], setting):
        groups = grouped(same, neuron)
        if len(groups) < 2:
            left_out += [(run, "no other neuron was trained under its recipe") for run in same]
            continue
        order = [*labels.neurons(), *sorted({_name(group) for group in groups} - labels.neurons().keys())]
        groups.sort(key=lambda group: order.index(_name(group)))
        variants = [Variant(label, {}) for label in _labels(groups)]
        for variant, group in zip(variants, groups, strict=True):
            for run in sorted(group, key=lambda run: int(run.config["T"])):
                cell = variant.runs.setdefault(int(run.config["T"]), [])
                if run.seed in {other.seed for other in cell}:
                    left_out.append((run, f"seed {run.seed} again"))
                else:
                    cell.append(run)
        found.append(Comparison(protocol, variants))
    return _told_apart(found), left_out


def _told_apart(comparisons: list[Comparison]) -> list[Comparison]:
    """With what their settings differ in, where two would have the same title."""
    found = []
    for one in comparisons:
        rivals = [other for other in comparisons if other.title == one.title]
        text = distinctions([setting(other.cells[0][2][0]) for other in rivals])[rivals.index(one)]
        found.append(replace(one, apart=text))
    return found


def _name(runs: Sequence[Run]) -> str:
    return str(runs[0].config["neuron"]["name"])


def _labels(groups: Sequence[Sequence[Run]]) -> list[str]:
    """The neurons' names, with what tells the variants of one neuron apart; each label once."""
    found: list[str] = []
    for runs in groups:
        rivals = [other for other in groups if _name(other) == _name(runs)]
        text = distinctions([neuron(other[0]) for other in rivals])[rivals.index(runs)]
        label = labels.neuron(_name(runs)) + (f" ({text})" if text else "")
        found.append(label if label not in found else f"{label} [{runs[0].recipe}]")
    return found


def table(comparison: Comparison) -> Table:
    """A line for each neuron: accuracy, firing rate and energy at each T; below, the constants that are not equal."""
    steps = sorted({T for _, T, _ in comparison.cells})
    columns: list[tuple[str, Callable[[list[Run]], str]]] = [
        ("accuracy %", lambda runs: _accuracy(comparison.accuracy(runs), comparison.seeds)),
        ("firing rate", lambda runs: _mean(runs, firing_rate, "{:.3f}")),
        ("energy nJ", lambda runs: _mean(runs, nanojoule, "{:.0f}")),
    ]
    found = Table(comparison.title, ("neuron", *(f"{name}, T={T}" for name, _ in columns for T in steps)))
    for variant in comparison.variants:
        cells = [text(variant.runs[T]) if T in variant.runs else "-" for _, text in columns for T in steps]
        found.lines.append([variant.label, *cells])
    found.notes = _unequal(comparison)
    return found


def _unequal(comparison: Comparison) -> list[str]:
    """What of surrogate, threshold and reset is not the same for all neurons, though it is no neuron's own idea."""
    notes = []
    for key in CONSTANTS:
        values = {
            variant.label: found[f"neuron.{key}"]
            for variant in comparison.variants
            for runs in variant.runs.values()
            if f"neuron.{key}" in (found := neuron(runs[0]))
        }
        if len({str(value) for value in values.values()}) > 1:
            notes.append(f"{key}: " + ", ".join(f"{label} {_text(value)}" for label, value in values.items()))
    return notes


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _accuracy(spread: Spread, seeds: int | None) -> str:
    if seeds is None:
        return str(spread)
    return f"{spread.mean:.2f}" + (f" ± {spread.std:.2f}" if spread.std is not None else "")


def _mean(runs: Sequence[Run], value: Callable[[Run], float | None], form: str) -> str:
    values = [found for run in runs if (found := value(run)) is not None]
    return form.format(statistics.fmean(values)) if len(values) == len(runs) else "-"


def firing_rate(run: Run) -> float | None:
    """Spikes per neuron and timestep on the test set, over the whole network."""
    value = run.result.get("firing_rate")
    return float(value) if isinstance(value, int | float) else None


def nanojoule(run: Run) -> float | None:
    """Energy of a test sample by the 45 nm model, in nJ."""
    found = picojoule(run)
    return None if found is None else found / 1e3


def record(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """All of it for a JSON file: what was run where and how, and each run's values beside the means."""
    runs = [run for comparison in comparisons for _, _, cell in comparison.cells for run in cell]
    machines: list[dict[str, Any]] = []
    for run in runs:
        environment = run.result.get("environment") or {}
        machine = {key: environment.get(key) for key in ENVIRONMENT}
        if machine not in machines:
            machines.append(machine)
    return {
        "commands": sorted({run.command for run in runs}),
        "machines": machines,
        "comparisons": [
            {
                "title": comparison.title,
                "protocol": comparison.protocol,
                "cells": [_cell(comparison, variant, T) for variant, T, _ in comparison.cells],
            }
            for comparison in comparisons
        ],
    }


def _cell(comparison: Comparison, variant: Variant, T: int) -> dict[str, Any]:
    runs = variant.runs[T]
    spread = comparison.accuracy(runs)
    return {
        "neuron": variant.label,
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
