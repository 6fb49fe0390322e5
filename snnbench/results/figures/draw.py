"""Figures drawn for a paper's column: PNG and PDF, the same bytes for the same runs."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snnbench.files import atomic
from snnbench.results import labels, looks
from snnbench.results.figures.data import Beside, HeatMap, Line, Lines, Panel, Point, Series
from snnbench.results.figures.data import Figure as FigureData
from snnbench.results.outcomes import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN, PAGE = 3.5, 7.16  # widths in inches of a column and of a page of two
FEW = 40  # points that stand apart; more are a line
WIDE = 22  # layers that a column can name
STROKES = ("-", "--", "-.", ":")  # of a neuron's variants, one after the other
AUTHORS = ("#555555", "#AAAAAA")
STYLE: Any = {  # to matplotlib, its keys are a type
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 7.5,
    "figure.titlesize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.2,
    "hatch.color": "#999999",
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,  # text stays text
    "text.parse_math": False,  # a $ in a name is a $
    "savefig.dpi": 300,
}


def save(figure: FigureData, folder: Path) -> list[Path]:
    """Write <stem>.png and <stem>.pdf into `folder`."""
    return write(lambda: draw(figure), figure.stem, folder)


def write(make: Callable[[], Figure], stem: str, folder: Path) -> list[Path]:
    """Write what `make` draws as <stem>.png and <stem>.pdf into `folder`; it is called where the style holds."""
    import matplotlib

    paths = []
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        drawn = make()
        for form, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
            content = io.BytesIO()
            drawn.savefig(content, format=form, metadata=metadata)
            paths.append(folder / f"{stem}.{form}")
            with atomic(paths[-1]) as file:
                file.write(content.getvalue())
    return paths


def draw(figure: FigureData) -> Figure:
    """The figure as matplotlib's, outside pyplot and so without a display or anything global."""
    if isinstance(figure, HeatMap):
        return _heat_map(figure)
    if isinstance(figure, Beside):
        return _beside(figure)
    assert isinstance(figure, Lines)
    return _lines(figure)


def _canvas(title: str, rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(width, height), layout="constrained")
    canvas.suptitle(textwrap.fill(title, int(width * 18)), x=0.01, ha="left", linespacing=1.3)
    return canvas, canvas.subplots(rows, columns, sharex=True, squeeze=False)


def _below(canvas: Figure, text: str) -> None:
    """A note at the foot, small enough to be cut off or repeated in a caption."""
    canvas.supxlabel(textwrap.fill(text, int(canvas.get_figwidth() * 20)), fontsize=6.5, color="#555555")


def _lines(figure: Lines) -> Figure:
    points = [point for panel in figure.panels for series in panel.series for point in series.points]
    named = isinstance(points[0].x, str)
    columns = 2 if len(figure.panels) > 3 else 1
    rows = -(-len(figure.panels) // columns)
    width = PAGE if columns == 2 or (named and len(figure.panels[0].series[0].points) > WIDE) else COLUMN
    height = (1.8 if rows == 1 else 1.15) * rows + (1.2 if named else 0.8)
    canvas, axes = _canvas(figure.title, rows, columns, width, height)
    for axis, panel in zip(axes.flat, figure.panels, strict=False):
        _panel(axis, panel, named)
    for axis in axes.flat[len(figure.panels) :]:
        axis.set_axis_off()
    for axis in axes[-1]:
        axis.set_xlabel(figure.xlabel)
    series = figure.panels[0].series
    if len(series) > 1:
        fitting = max(1, int(width * 16) // (max(len(one.label) for one in series) + 6))
        entries = axes[0, 0].containers, [one.label for one in series]  # left to matplotlib, names with _ first vanish
        columns = min(len(series), fitting)
        axes[0, 0].legend(*entries, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, ncols=columns)
    _below(canvas, _meaning(points))
    return canvas


def _meaning(points: Sequence[Point]) -> str:
    """What bars, dots and bands stand for."""
    marks = "mean and standard deviation over seeds; dots: seeds" if any(len(p.values) > 1 for p in points) else ""
    band = "band: standard deviation within the layer" if any(p.band is not None for p in points) else ""
    return "; ".join(text for text in (marks, band) if text)


def _panel(axis: Axes, panel: Panel, named: bool) -> None:
    places = [0.0, 1.0] if named else sorted({float(point.x) for one in panel.series for point in one.points})
    gap = min((b - a for a, b in pairwise(places)), default=1.0)
    styles = _styles([series.neuron for series in panel.series])
    for number, (series, style) in enumerate(zip(panel.series, styles, strict=True)):
        _series(axis, series, style, (number - (len(panel.series) - 1) / 2) * 0.05 * gap)
    axis.set_ylabel(panel.label)
    if named:
        ticks = [str(point.x) for point in panel.series[0].points]
        places = [float(number) for number in range(len(ticks))]
        axis.set_xticks(places, ticks, rotation=90 if len(ticks) > 6 else 0)
    else:
        axis.set_xticks(places)
    axis.set_xlim(places[0] - 0.35 * gap, places[-1] + 0.35 * gap)
    if panel.from_zero:
        axis.set_ylim(bottom=0)
    axis.grid(axis="x", visible=False)


def _series(axis: Axes, series: Series, style: dict[str, Any], shift: float) -> None:
    """Means with their bars, and every seed as a pale dot; shifted sideways, lest the bars hide each other."""
    x = [shift + (number if isinstance(point.x, str) else point.x) for number, point in enumerate(series.points)]
    spreads = [Spread.of(point.values) for point in series.points]
    mean = [spread.mean for spread in spreads]
    bars = [spread.std or 0.0 for spread in spreads]
    axis.errorbar(x, mean, bars, label=series.label, capsize=1.5, elinewidth=0.8, **style)
    for at, point in zip(x, series.points, strict=True):
        if len(point.values) > 1:
            axis.plot([at] * len(point.values), point.values, ".", ms=3, mew=0, color=style["color"], alpha=0.5)
    bands = [point.band for point in series.points]
    if any(band is not None for band in bands):
        low, high = ([m + sign * (b or 0.0) for m, b in zip(mean, bands, strict=True)] for sign in (-1, 1))
        axis.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)


def _styles(neurons: Sequence[str]) -> list[dict[str, Any]]:
    """A neuron has one colour and marker in all figures; its variants are other strokes, some with open markers."""
    styles = []
    for place, neuron in enumerate(neurons):
        variant, look = neurons[:place].count(neuron), looks.look(neuron)
        style = {"color": look.colour, "marker": look.marker, "linestyle": STROKES[variant % len(STROKES)]}
        styles.append({**style, "markerfacecolor": "white" if variant % 2 else look.colour})
    return styles


def _beside(figure: Beside) -> Figure:
    """One's own as lines with a band, or where the points are few with bars; the authors' dashed."""
    canvas, axes = _canvas(figure.title, 1, 1, COLUMN, 2.6)
    axis = axes[0, 0]
    own = [line for line in figure.lines if not line.official]
    for line, style in zip(own, _styles([line.neuron for line in own]), strict=True):
        _own(axis, line, style)
    for number, line in enumerate(line for line in figure.lines if line.official):
        x, y = [point.x for point in line.points], [point.values[0] for point in line.points]
        axis.plot(x, y, "--", color=AUTHORS[number % len(AUTHORS)], label=line.label, linewidth=0.9)
    axis.set_xlabel(figure.xlabel)
    axis.set_ylabel(figure.label)
    axis.legend(loc="lower right")
    several = any(len(point.values) > 1 for line in own for point in line.points)
    dense = any(len(line.points) > FEW for line in own)
    _below(canvas, f"{'band' if dense else 'bars'}: standard deviation over seeds" if several else "")
    return canvas


def _own(axis: Axes, line: Line, style: dict[str, Any]) -> None:
    x = [float(point.x) for point in line.points]
    spreads = [Spread.of(point.values) for point in line.points]
    mean, std = [spread.mean for spread in spreads], [spread.std or 0.0 for spread in spreads]
    if len(x) <= FEW:
        axis.errorbar(x, mean, std, label=line.label, capsize=1.5, elinewidth=0.8, **style | {"linestyle": "none"})
        return
    axis.plot(x, mean, color=style["color"], label=line.label)
    low, high = ([m + sign * s for m, s in zip(mean, std, strict=True)] for sign in (-1, 1))
    axis.fill_between(x, low, high, color=style["color"], alpha=0.2, linewidth=0)


def _heat_map(figure: HeatMap) -> Figure:
    alphas, betas = (sorted({cell[axis] for cell in figure.cells}) for axis in (0, 1))
    height = max(2.6, 1.0 + COLUMN * 0.78 * len(alphas) / len(betas))
    canvas, axes = _canvas(figure.title, 1, 1, COLUMN, min(height, 5.0))
    axis = axes[0, 0]
    means = [[_mean(figure.cells.get((alpha, beta))) for beta in betas] for alpha in alphas]
    image = axis.pcolormesh(means, cmap="cividis", edgecolors="white", linewidth=1)
    axis.set_facecolor("white")
    axis.patch.set_hatch("////")
    axis.set_xticks([i + 0.5 for i in range(len(betas))], [f"{beta:.3g}" for beta in betas])
    axis.set_yticks([i + 0.5 for i in range(len(alphas))], [f"{alpha:.3g}" for alpha in alphas])
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    axis.set_xlabel(labels.coefficient("dalif", "beta"))
    axis.set_ylabel(labels.coefficient("dalif", "alpha"))
    for (alpha, beta), values in figure.cells.items():
        place = betas.index(beta) + 0.5, alphas.index(alpha) + 0.5
        dark = image.norm(_mean(values)) < 0.45
        _write(axis, place, values, "white" if dark else "black", small=len(betas) > 6)
    colours = canvas.colorbar(image, ax=axis, pad=0.02)
    colours.set_label(figure.label)
    colours.outline.set_visible(False)
    whole = len(figure.cells) == len(alphas) * len(betas)
    several = any(len(values) > 1 for values in figure.cells.values())
    meaning = ["mean ± standard deviation over seeds"] * several + ["hatched: no run"] * (not whole)
    _below(canvas, "; ".join(meaning))
    return canvas


def _write(axis: Axes, place: tuple[float, float], values: Sequence[float], colour: str, small: bool) -> None:
    spread = Spread.of(values)
    text = f"{spread.mean:.1f}" + ("" if small or spread.std is None else f"\n±{spread.std:.1f}")
    axis.text(*place, text, ha="center", va="center", color=colour, fontsize=5 if small else 6.5)


def _mean(values: Sequence[float] | None) -> float:
    return Spread.of(values).mean if values else float("nan")
