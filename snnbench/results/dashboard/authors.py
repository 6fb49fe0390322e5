"""The authors' own curves beside the runs of their rows."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from snnbench.errors import UserError
from snnbench.official import OfficialCurve, curve_of
from snnbench.results.curves import LEAST, blocks, comparable, mean_curve, other_precision, verdict
from snnbench.results.outcomes import Compose, Outcome
from snnbench.results.selection import not_real
from snnbench.runs.code import row_flat, row_recipe
from snnbench.runs.read import Run


def official(runs: Sequence[Run], rows: Mapping[str, Any], compose: Compose) -> dict[str, Any]:
    """The authors' test accuracies by row, and the places of the runs that have such a row's recipe.

    A run need not be finished, but is on the real data: what its curve is held against is then the same training.
    """
    known = {id: curve for id in sorted({str(run.row) for run in runs} & rows.keys()) if (curve := curve_of(id))}
    recipes = {}
    for id in known:
        with contextlib.suppress(UserError):  # named among the problems already
            recipes[id] = row_recipe(compose(id))
    beside = [n for n, run in enumerate(runs) if run.recipe == recipes.get(str(run.row)) and not not_real(run)]
    return {"curves": {id: curve.accuracy for id, curve in known.items()}, "runs": beside}


def said(outcome: Outcome, compose: Compose) -> str:
    """One phrase on the mean curve of a row's runs, finished or not, beside the authors'; "-" where there is none."""
    everything = [*outcome.counted, *(run for run, _ in outcome.left_out)]
    curve = curve_of(outcome.row.id) if everything else None
    if curve is None:
        return "-"
    try:
        return _said(outcome, everything, curve, row_flat(compose(outcome.row.id)))
    except UserError:  # named among the problems already
        return "-"


def _said(outcome: Outcome, everything: Sequence[Run], curve: OfficialCurve, recipe: Mapping[str, Any]) -> str:
    runs = [run for run in comparable(everything, recipe).counted if len(run.curve) >= LEAST]
    found = blocks(mean_curve(run.curve for run in runs), curve.accuracy, outcome.row.tolerance)
    if not found:
        return "no run of its recipe to compare"
    judged, last = verdict(found), found[-1]
    words = "agrees" if judged.agrees else "above" if judged.side > 0 else "below"
    since = f" since epoch {judged.since + 1}" if judged.since else ""
    others = sorted({other_precision(run, recipe) for run in runs} - {""})
    return "; ".join(
        [f"{words}{since}: {last.difference:+.2f}, limit ± {last.limit:.2f}", f"to epoch {last.last + 1}", *others]
    )
