"""The benchmark's results as a Markdown table and as figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

AXES = {"steps": "timesteps T", "rate": "firing rate", "width": "width"}
QUANTITIES = {"milliseconds": "ms a step", "saved_megabytes": "kept for the backward, MB", "peak_megabytes": "peak, MB"}


def markdown(rows: list[dict[str, Any]]) -> str:
    """A row for each case: time over the plain loop's, and what is kept for the backward."""
    names = list(dict.fromkeys(name for row in rows for name in row["over_plain"]))
    lines = [f"| network | neuron | T | width | fires | plain ms | {' | '.join(names)} | kept, MB: auto / plain |"]
    lines += ["|---" * (len(names) + 7) + "|"]
    for row in rows:
        width = "own" if row["width"] is None else str(row["width"])
        cells = [row["network"], row["neuron"], str(row["steps"]), width, f"{row['firing_rate']:.0%}"]
        cells += [f"{row['milliseconds']['plain']:.1f}"]
        cells += [_cell(row, name) for name in names]
        kept = row["saved_megabytes"]
        cells += [" / ".join(f"{kept[name]:.0f}" if name in kept else "n/a" for name in ("auto", "plain"))]
        lines.append(f"| {' | '.join(cells)} |")
    for row in rows:
        for name, why in row["failures"].items():
            lines.append(f"\n{name} in {row['network']} with {row['neuron']} computes something else: {why}")
    return "\n".join(lines)


def _cell(row: dict[str, Any], name: str) -> str:
    if name not in row["over_plain"]:
        return "failed" if name in row["failures"] else "n/a"
    return f"{row['over_plain'][name]:.2f}" + ("" if name in row["same"] else "*")


def figures(rows: list[dict[str, Any]], folder: Path) -> list[Path]:
    """Time and memory over whatever varies of T, firing rate and width, one figure of each network with each neuron."""
    matplotlib.use("Agg")
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    for network, neuron in dict.fromkeys((row["network"], row["neuron"]) for row in rows):
        own = [row for row in rows if (row["network"], row["neuron"]) == (network, neuron)]
        for axis, label in AXES.items():
            for fixed, group in _groups(own, axis).items():
                if len({row[axis] for row in group}) > 1:
                    path = folder / f"{'-'.join([network, neuron, axis, *fixed])}.png"
                    _draw(group, axis, label, f"{network}, {neuron} {' '.join(fixed)}".strip(), path)
                    written.append(path)
    return written


def _groups(rows: list[dict[str, Any]], axis: str) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """The rows by what else varies than this axis."""
    others = [key for key in AXES if key != axis and len({row[key] for row in rows}) > 1]
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if row[axis] is not None:
            found.setdefault(tuple(f"{key}{row[key]}" for key in others), []).append(row)
    return found


def _draw(rows: list[dict[str, Any]], axis: str, label: str, title: str, path: Path) -> None:
    from matplotlib import pyplot

    rows = sorted(rows, key=lambda row: row[axis])
    shown = [key for key in QUANTITIES if any(row[key] for row in rows)]
    figure, panels = pyplot.subplots(1, len(shown), figsize=(5 * len(shown), 4), squeeze=False, layout="constrained")
    for panel, key in zip(panels[0], shown, strict=True):
        names = dict.fromkeys(name for row in rows for name in row[key])
        for number, name in enumerate(names):
            points = [(row[axis], row[key][name], row) for row in rows if name in row[key]]
            places, values = [x for x, _, _ in points], [y for _, y, _ in points]
            panel.plot(places, values, marker="o", markersize=3, color=f"C{number % 10}", label=name)
            if key == "milliseconds":
                low, high = zip(*(row["quartiles"][name] for _, _, row in points), strict=True)
                panel.fill_between(places, low, high, color=f"C{number % 10}", alpha=0.15, linewidth=0)
        scale = "linear" if axis == "rate" else "log"
        panel.set(xlabel=label, ylabel=QUANTITIES[key], xscale=scale, yscale=scale)
        if scale == "linear":
            panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small")
    figure.suptitle(title)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
