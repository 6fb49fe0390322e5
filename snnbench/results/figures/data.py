"""What a figure shows, as data: values by seed, with the runs they came from. Nothing is drawn here."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from snnbench.results import labels
from snnbench.results.selection import LeftOut, distinctions, grouped, neuron
from snnbench.runs.layers import Measured
from snnbench.runs.read import Run

MOST_SERIES = 8  # that a reader can tell apart
V = TypeVar("V")
LONGEST = 40  # part of a file's name, of which a file system takes 255 bytes


@dataclass(frozen=True)
class Point:
    """The values at x, one for each seed; `band` is the standard deviation within a layer, averaged over the seeds."""

    x: float | str
    values: tuple[float, ...]
    band: float | None = None


@dataclass
class Series:
    """The points of one neuron."""

    label: str
    neuron: str
    points: list[Point]


@dataclass
class Panel:
    """Series over the same x; `label` says what is measured, with its unit, which may be one that begins at zero."""

    label: str
    series: list[Series]
    from_zero: bool = False


@dataclass
class Figure:
    """A figure's file name without its ending, what it is of, and the runs that are in it."""

    stem: str
    title: str
    runs: list[Run]


@dataclass
class Lines(Figure):
    """Panels one below the other over one x: layers by name, or numbers of timesteps."""

    xlabel: str
    panels: list[Panel]


@dataclass
class HeatMap(Figure):
    """Values by (alpha, beta), one for each seed; `label` says what is measured, with its unit."""

    label: str
    cells: dict[tuple[float, float], tuple[float, ...]]


@dataclass
class Line:
    """Points over numbers, with one value for each seed; or the authors' own, with one value each."""

    label: str
    neuron: str
    points: list[Point]
    official: bool = False


@dataclass
class Beside(Figure):
    """Lines of one's own and of the authors over one x; `label` says what is measured, with its unit."""

    xlabel: str
    label: str
    lines: list[Line]


@dataclass
class Drawn:
    """The figures of one kind, and the runs that could not enter one, each with the reason."""

    figures: list[Figure] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def measure(self, runs: Sequence[Run], value: Callable[[Run], V | None], why: str) -> dict[Run, V]:
        """The runs that have a value, with it; the others are left out because of `why`."""
        found = {run: measured for run in runs if (measured := value(run)) is not None}
        self.left_out += [(run, why) for run in runs if run not in found]
        return found


def over_layers(measured: Sequence[Measured]) -> list[Point]:
    """One point for each layer of the first run; `measured` has one item for each seed, all of the same layers."""
    points = []
    for layer in measured[0]:
        bands = [band for found in measured if (band := found[layer][1]) is not None]
        values = tuple(found[layer][0] for found in measured)
        points.append(Point(labels.layer(layer), values, statistics.fmean(bands) if bands else None))
    return points


def by_neuron(runs: Sequence[Run], points: Callable[[list[Run]], list[Point]]) -> tuple[list[Series], list[LeftOut]]:
    """A series for each neuron and each variant of it, as many as can be told apart: the most varied go first."""
    variants: dict[str, list[list[Run]]] = {}
    for same in grouped(runs, neuron):
        variants.setdefault(str(same[0].config["neuron"]["name"]), []).append(same)
    left_out: list[LeftOut] = []
    while sum(map(len, variants.values())) > MOST_SERIES:
        name = max(variants, key=lambda key: len(variants[key]))
        dropped = variants.pop(name)
        reason = f"one of {len(dropped)} variants of {name}, more than one figure can tell apart ({MOST_SERIES})"
        left_out += [(run, reason) for same in dropped for run in same]
    order = [*labels.neurons(), *sorted(variants.keys() - labels.neurons().keys())]
    series: list[Series] = []
    for name in sorted(variants, key=order.index):
        differing = told_apart([neuron(same[0]) for same in variants[name]])
        shown = labels.neuron_of(variants[name][0][0])
        texts = [shown + (f" ({text})" if text else "") for text in differing]
        series += [Series(label, name, points(same)) for label, same in zip(texts, variants[name], strict=True)]
    return series, left_out


def alike(runs: Sequence[Run], shape: Callable[[Run], object]) -> tuple[list[Run], list[LeftOut]]:
    """The runs that have the same layers as the first, as told by `shape`."""
    kept = [run for run in runs if shape(run) == shape(runs[0])]
    return kept, [(run, f"other layers than {runs[0].folder}") for run in runs if run not in kept]


def counts(series: Iterable[Series]) -> list[int]:
    """How many seeds stand behind each point."""
    return [len(point.values) for one in series for point in one.points]


def title(run: Run, middle: Iterable[str], n: Sequence[int]) -> str:
    """Data, backbone and what else the runs of a figure have in common, and how many seeds stand behind a value."""
    seeds = f"n = {min(n)}" if min(n) == max(n) else f"n = {min(n)} to {max(n)}"
    parts = [labels.data(run.config["data"]["name"]), labels.backbone(run.config["backbone"]["name"]), *middle]
    parts += [f"{run.planned} epoch{'s' * (run.planned != 1)}", "single seed" if max(n) == 1 else f"{seeds} seeds"]
    return ", ".join(parts) + ("" if run.provenance == "real" else f", not the real data: {run.provenance}")


def told_apart(configs: Sequence[dict[str, Any]], least: int = 3) -> list[str]:
    """What tells some flat configs apart, in `least` keys, or as many more as it takes; numbered where none does."""
    most = least
    while len(set(texts := distinctions(configs, most))) < len(configs) and most < max(map(len, configs)):
        most *= 2
    same = [texts[:place].count(text) for place, text in enumerate(texts)]
    return [f"{text}, no. {n + 1}".lstrip(", ") if n else text for text, n in zip(texts, same, strict=True)]


def stem(kind: str, run: Run, *more: str) -> str:
    """The file's name, in words: what the figure is of. `name_apart` adds to those that are alike."""
    return "-".join([kind, *map(_word, (run.config["data"]["name"], run.config["backbone"]["name"], *more))])


def _in_common(runs: Sequence[Run]) -> dict[str, Any]:
    first, *others = ({**run.flat, "epochs": run.planned, "data": run.provenance} for run in runs)
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}


def _word(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text, flags=re.ASCII)[:LONGEST]


def name_apart(figures: Sequence[Figure]) -> None:
    """Add to file names that are the same in what the recipes, epochs and data of the figures differ."""
    for same in {figure.stem: [f for f in figures if f.stem == figure.stem] for figure in figures}.values():
        common = [_in_common(figure.runs) for figure in same]
        shared = [{key: one[key] for key in one if all(key in other for other in common)} for one in common]
        for figure, text in zip(same, told_apart(shared, least=1), strict=True):
            figure.stem += f"-{_word(text)}" if text else ""
    taken: set[str] = set()
    for figure in figures:  # a word may have been cut short
        name, number = figure.stem, 1
        while figure.stem in taken:
            number += 1
            figure.stem = f"{name}-{number}"
        taken.add(figure.stem)


def tell_apart(figures: Sequence[Figure], recipe: Callable[[Run], dict[str, Any]]) -> None:
    """Add to titles that are the same in what the recipes of the runs differ."""
    for same in {figure.title: [f for f in figures if f.title == figure.title] for figure in figures}.values():
        for figure, text in zip(same, distinctions([recipe(f.runs[0]) for f in same]), strict=True):
            figure.title += f" ({text})" if text else ""
