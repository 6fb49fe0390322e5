"""Figures with the authors' own curves in them, from the numbers in snnbench.official."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from snnbench.config import compose_row
from snnbench.errors import UserError
from snnbench.official import OfficialCurve, curve_of, orders
from snnbench.results import labels
from snnbench.results.curves import comparable, other_precision
from snnbench.results.figures.data import Beside, Drawn, Line, Point, stem, title
from snnbench.results.selection import not_real
from snnbench.runs.code import row_flat
from snnbench.runs.read import Run
from snnbench.runs.recipe import describe, differences
from snnbench.runs.schema import protocol_label

ORDER = "neuron.k"


def curves(runs: Sequence[Run], protocol: str) -> Drawn:
    """Test accuracy over epochs beside the authors' curve: a figure for each row that has one."""
    drawn = Drawn()
    found = drawn.measure(runs, lambda run: curve_of(run.row), "the authors published no curve of a row of this run's")
    for row, same in _by_row(list(found)).items():
        config = _config(drawn, row, same)
        if config is None:
            continue
        recipe = row_flat(config)
        whole = [run for run in same if run.planned == config["epochs"]]
        drawn.left_out += [(run, _short(run, config["epochs"])) for run in same if run not in whole]
        chosen = comparable(whole, recipe)
        drawn.left_out += chosen.left_out
        if same := chosen.counted:
            own = _own(same, [{epoch + 1: value for epoch, value in run.curve.items()} for run in same])
            last = int(max(point.x for point in own.points))  # of a run that is not finished, as far as it got
            official = _official("authors", dict(enumerate(found[same[0]].accuracy[:last], 1)))
            reached = "" if last == config["epochs"] else f"up to epoch {last}"
            heading, file = _named("curves", row, same, own, reached, other_precision(same[0], recipe))
            label = "test accuracy (%)"
            drawn.figures.append(Beside(file, heading, same, "epoch", label, [own, official]))
    return drawn


def order(runs: Sequence[Run], protocol: str) -> Drawn:
    """Test accuracy over the order of a masked or sliding PSN, beside the authors': a figure for each row of theirs."""
    drawn = Drawn()
    why = "the authors published no orders of a row of this run's"
    found = drawn.measure(runs, lambda run: orders(run.row or "") or None, why)
    values = drawn.measure(list(found), lambda run: run.accuracy(protocol), f"no accuracy {protocol_label(protocol)}")
    for row, same in _by_row(list(values)).items():
        same = _whole(drawn, row, same, but=ORDER)
        if not same:
            continue
        own = _own(same, [{int(run.config["neuron"]["k"]): values[run]} for run in same])
        measures: dict[str, Callable[[OfficialCurve], float]] = {
            "last_epoch": lambda curve: curve.accuracy[-1],
            "best_test_epoch": lambda curve: max(curve.accuracy),
        }
        official = [
            _official(f"authors, {protocol_label(name)}", {k: value(curve) for k, curve in found[same[0]].items()})
            for name, value in measures.items()
        ]
        heading, file = _named("order", row, same, own)
        label = f"test accuracy (%),\n{protocol_label(protocol)}"
        drawn.figures.append(Beside(file, heading, same, "order k (timesteps)", label, [own, *official]))
    return drawn


def _by_row(runs: Sequence[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(str(run.row), []).append(run)
    return found


def _config(drawn: Drawn, row: str, runs: Sequence[Run]) -> dict[str, Any] | None:
    """The row's config as it is now; None, and its runs left out, where it does not compose."""
    try:
        return compose_row(row)
    except UserError as error:
        drawn.left_out += [(run, f"the row's config does not compose: {error}") for run in runs]
        return None


def _whole(drawn: Drawn, row: str, runs: Sequence[Run], but: str) -> list[Run]:
    """The runs of the row's recipe, on the real data, all of its epochs; with any value of the key `but`."""
    config = _config(drawn, row, runs)
    if config is None:
        return []
    recipe = {key: value for key, value in row_flat(config).items() if key != but}
    reasons = {run: _why_not(run, config["epochs"], recipe, but) for run in runs}
    drawn.left_out += [(run, why) for run, why in reasons.items() if why]
    return [run for run, why in reasons.items() if why is None]


def _why_not(run: Run, epochs: int, recipe: dict[str, Any], but: str) -> str | None:
    differing = differences({key: value for key, value in run.flat.items() if key != but}, recipe)
    if not_real(run) or not differing:
        return not_real(run) or (None if run.planned == epochs else _short(run, epochs))
    return f"another recipe than the row's: {describe(differing)}"


def _short(run: Run, epochs: int) -> str:
    return f"{run.planned} of the row's {epochs} epochs"


def _own(runs: Sequence[Run], curves: Sequence[dict[int, float]]) -> Line:
    """One's own values by epoch or by order, one for each seed."""
    by_x: dict[int, list[float]] = {}
    for curve in curves:
        for x, value in curve.items():
            by_x.setdefault(x, []).append(value)
    points = [Point(x, tuple(by_x[x])) for x in sorted(by_x)]
    return Line("own", str(runs[0].config["neuron"]["name"]), points)


def _official(label: str, values: dict[int, float]) -> Line:
    return Line(label, "", [Point(x, (values[x],)) for x in sorted(values)], official=True)


def _named(kind: str, row: str, runs: Sequence[Run], own: Line, *notes: str) -> tuple[str, str]:
    """Title and file name."""
    first, seeds = runs[0], [len(point.values) for point in own.points]
    name = str(first.config["neuron"]["name"])
    parts = [labels.neuron_of(first), f"T = {first.config['T']}", *filter(None, notes)]
    return title(first, parts, seeds), stem(kind, first, name, f"T{first.config['T']}")
