"""Neurons under one recipe: mean, spread and number of seeds of each at every T, from finished runs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from snnbench.results import labels
from snnbench.results.outcomes import Spread
from snnbench.results.selection import LeftOut, choose, distinctions, grouped, neuron, setting
from snnbench.results.tables.papers import Table, best_of
from snnbench.runs.quantities import QUANTITIES, shown
from snnbench.runs.quantity import Quantity
from snnbench.runs.read import Run
from snnbench.runs.schema import protocol_label

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
        epochs = f"{run.planned} epoch{'s' * (run.planned != 1)}"
        parts += [epochs, protocol_label(self.protocol), seeds, *([self.apart] if self.apart else [])]
        return ", ".join(parts) + ("" if run.provenance == "real" else f", not the real data: {run.provenance}")

    def accuracy(self, runs: Sequence[Run]) -> Spread:
        """Test accuracy in percent over the seeds of a cell."""
        return Spread.of([value for run in runs if (value := run.accuracy(self.protocol)) is not None])


def compare(runs: Sequence[Run], protocol: str = "last_epoch") -> tuple[list[Comparison], list[LeftOut]]:
    """A comparison for each setting with more than one neuron, from runs as selection.select chooses them.

    Returns:
        The comparisons; and each run that stands in none, with the reason.
    """
    left_out = [(run, f"no accuracy {protocol_label(protocol)}") for run in runs if run.accuracy(protocol) is None]
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
            chosen = choose(group, lambda run: None, axis=lambda run: (run.config["T"], run.seed))
            left_out += chosen.left_out
            for run in sorted(chosen.counted, key=lambda run: int(run.config["T"])):
                variant.runs.setdefault(int(run.config["T"]), []).append(run)
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
        label = labels.neuron_of(runs[0]) + (f" ({text})" if text else "")
        found.append(label if label not in found else f"{label} [{runs[0].recipe}]")
    return found


@dataclass(frozen=True)
class Column:
    """Means over the seeds at each T, and how they are written; none where a run lacks the quantity."""

    head: str
    means: dict[tuple[str, int], float]
    cells: dict[tuple[str, int], str]
    written: Callable[[float], str]
    better: str | None

    def best(self, variants: Sequence[Variant], T: int) -> set[int]:
        """The lines of the variants that are the best at this T."""
        values = {n: self.means[one.label, T] for n, one in enumerate(variants) if (one.label, T) in self.means}
        return best_of(values, self.better, self.written)


def table(comparison: Comparison) -> Table:
    """A line for each neuron: accuracy and the quantities of a comparison at each T; below, unequal constants."""
    steps = sorted({T for _, T, _ in comparison.cells})
    columns = [_accuracies(comparison), *(_column(comparison, quantity) for quantity in shown("comparison"))]
    places = [(column, T) for column in columns for T in steps]
    found = Table(comparison.title, ("neuron", *(f"{column.head}, T={T}" for column, T in places)))
    for variant in comparison.variants:
        found.lines.append([variant.label, *(column.cells.get((variant.label, T), "-") for column, T in places)])
    for place, (column, T) in enumerate(places, start=1):
        found.best += [(line, place) for line in column.best(comparison.variants, T)]
    found.notes = _unequal(comparison)
    return found


def _accuracies(comparison: Comparison) -> Column:
    spreads = {(variant.label, T): comparison.accuracy(runs) for variant, T, runs in comparison.cells}
    cells = {place: str(spread) if comparison.seeds is None else spread.short for place, spread in spreads.items()}
    means = {place: spread.mean for place, spread in spreads.items()}
    return Column("accuracy %", means, cells, "{:.2f}".format, "higher")


def _column(comparison: Comparison, quantity: Quantity) -> Column:
    means: dict[tuple[str, int], float] = {}
    for variant, T, runs in comparison.cells:
        values = [value for run in runs if (value := quantity.of(run.result)) is not None]
        if len(values) == len(runs):
            means[variant.label, T] = statistics.fmean(values)
    unit = quantity.unit(means.values())

    def written(mean: float) -> str:
        return quantity.number(mean, unit)

    cells = {place: written(mean) for place, mean in means.items()}
    return Column(quantity.head(unit), means, cells, written, quantity.better)


def _unequal(comparison: Comparison) -> list[str]:
    neurons = {variant.label: neuron(runs[0]) for variant in comparison.variants for runs in variant.runs.values()}
    return [
        f"{key}: " + ", ".join(f"{label} {_text(value)}" for label, value in values.items())
        for key, values in unequal(neurons).items()
    ]


def unequal(neurons: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What of surrogate, threshold and reset is not the same for all, though it is no neuron's own idea.

    Args:
        neurons: by label, flat recipes.

    Returns:
        By key, the value of each neuron that has it.
    """
    found = {}
    for key in CONSTANTS:
        values = {label: flat[f"neuron.{key}"] for label, flat in neurons.items() if f"neuron.{key}" in flat}
        if len({str(value) for value in values.values()}) > 1:
            found[key] = values
    return found


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def record(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """All of it for a JSON file: what was run where and how, and each run's values beside the means."""
    runs = [run for comparison in comparisons for _, _, cell in comparison.cells for run in cell]
    return {
        "commands": sorted({run.command for run in runs}),
        "machines": machines(runs),
        "units": {key: quantity.units[0].name or quantity.words for key, quantity in QUANTITIES.items()},
        "comparisons": [
            {
                "title": comparison.title,
                "protocol": comparison.protocol,
                "cells": [_cell(comparison, variant, T) for variant, T, _ in comparison.cells],
            }
            for comparison in comparisons
        ],
    }


def machines(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """On what they were run, each once."""
    found: list[dict[str, Any]] = []
    for run in runs:
        machine = {key: run.environment.get(key) for key in ENVIRONMENT}
        if machine not in found:
            found.append(machine)
    return found


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
                "values": {key: quantity.of(run.result) for key, quantity in QUANTITIES.items()},
            }
            for run in runs
        ],
    }
