"""Two figures of a comparison: the intervals beside each other, and accuracy against energy."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnbench.bench.campaign import OVERALL, Campaign, values
from snnbench.results import labels, looks
from snnbench.results.figures import draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NANO = 1e3  # picojoules


def write(campaign: Campaign, folder: Path) -> list[Path]:
    """forest and pareto, each as PNG and PDF; the latter where energies were counted."""
    paths = draw.write(lambda: forest(campaign), "forest", folder)
    counted = any(points for part in campaign.suite.parts for _, points in _points(campaign, part))
    return paths + (draw.write(lambda: pareto(campaign), "pareto", folder) if counted else [])


def _canvas(columns: int, width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(width, height), layout="constrained")
    return canvas, canvas.subplots(1, columns, squeeze=False)[0]


def forest(campaign: Campaign) -> Figure:
    """A line for each question: mean and interval, in the rival's colour; grey: what does not matter."""
    canvas, (axis,) = _canvas(1, draw.COLUMN, 1.1 + 0.25 * len(campaign.matches))
    names = []
    for place, match in enumerate(campaign.matches):
        found, look = match.estimate, looks.look(match.rival.neuron)
        assert found is not None
        reach = [[found.mean - found.low], [found.high - found.mean]]
        axis.errorbar(found.mean, place, xerr=reach, color=look.colour, marker=look.marker, capsize=2, linestyle="none")
        data = "all" if match.data == OVERALL else labels.data(match.data)
        names.append(f"{match.rival.label}, {data} (n={found.n})")
    axis.axvline(0, color="#555555", linewidth=0.8)
    axis.axvspan(-campaign.suite.margin, campaign.suite.margin, color="#EEEEEE", zorder=0)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel(f"{campaign.neuron.label} minus rival, percentage points")
    return canvas


def pareto(campaign: Campaign) -> Figure:
    """Mean accuracy over mean energy of a sample, a panel a data set; points of one neuron are joined, T by T."""
    parts = campaign.suite.parts
    canvas, axes = _canvas(len(parts), draw.COLUMN if len(parts) == 1 else draw.PAGE, 2.6)
    for axis, part in zip(axes, parts, strict=True):
        for one, points in _points(campaign, part):
            look = looks.look(one.neuron)
            xs, ys, steps = zip(*points, strict=True) if points else ((), (), ())
            axis.plot(xs, ys, color=look.colour, marker=look.marker, label=one.label, alpha=0.85)
            for x, y, T in zip(xs, ys, steps, strict=True):
                axis.annotate(f"T={T}", (x, y), xytext=(3, 3), textcoords="offset points", fontsize=6)
        axis.set_title(labels.data(part.data))
        axis.set_xlabel("energy of a sample, nJ")
        axis.margins(0.15)
    axes[0].set_ylabel("test accuracy, %")
    axes[0].legend(loc="best")
    return canvas


def _points(campaign: Campaign, part: Any) -> list[tuple[Any, list[tuple[float, float, int]]]]:
    """(energy in nJ, accuracy in percent, T) of each neuron."""
    found = []
    for one in campaign.contestants:
        runs, points = campaign.common(part, one), []
        for T in sorted(part.steps):
            energies, accuracies = (values(runs, T, key) for key in ("energy", "last_epoch"))
            if energies:
                points.append((statistics.fmean(energies) / NANO, statistics.fmean(accuracies), T))
        found.append((one, points))
    return found
