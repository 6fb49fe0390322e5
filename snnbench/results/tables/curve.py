"""Does a run's learning curve, finished or not, agree with the authors' own?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from snnbench.config import compose_row
from snnbench.official import OfficialCurve
from snnbench.results import labels
from snnbench.results.curves import (
    LEAST,
    W_TOLERANCE,
    Block,
    blocks,
    comparable,
    excursions,
    mean_curve,
    other_precision,
    plif_w,
    verdict,
)
from snnbench.results.outcomes import Compose, Outcome
from snnbench.results.tables.check import AGREES, DIFFERS, NOTHING
from snnbench.results.tables.papers import Table
from snnbench.results.tables.render import render
from snnbench.runs.code import row_flat
from snnbench.runs.read import Run

EPOCHS = "epochs"
LINES = 12  # of a table over epochs
SIDES = {1: "above", -1: "below", 0: ""}


def check_curve(
    outcome: Outcome, curve: OfficialCurve | None, compose: Compose = compose_row, wide: bool = False
) -> tuple[int, str]:
    """Compare the test accuracy with the authors' at every epoch that was reached, the mean over the seeds that did.

    Runs are those of the row's recipe on the real data, finished or not, one of each seed; where there is none, those
    that differ from it in precision alone, which is said. PLIF's w, where the authors'
    log has it, is compared beside, without a say in the exit code: how far seeds drift apart in it is not well known.

    Returns:
        Exit code 0 where the last epochs agree, 1 where they differ, 2 nothing to compare; and what to print.
    """
    row = outcome.row
    if curve is None:
        return NOTHING, f"{row.id}: the authors published no curve of this row's settings."
    everything = [*outcome.counted, *(run for run, _ in outcome.left_out)]
    recipe = row_flat(compose(row.id)) if everything else {}
    runs = [run for run in comparable(everything, recipe).counted if len(run.curve) >= LEAST]
    own = mean_curve(run.curve for run in runs)
    found = blocks(own, curve.accuracy, row.tolerance)
    if not found:
        return NOTHING, f"{row.id}: no run of this recipe on the real data has been tested after {LEAST} epochs."
    said, last = verdict(found), found[-1]
    seeds = "single seed" if len(runs) == 1 else f"n = {len(runs)} seeds"
    tables = [_table(f"{row.id}: test accuracy (%), {seeds}", found)]
    if len(own) <= LINES:
        tables.append(_each(own, curve.accuracy))
    lines = [
        f"authors: {curve.source}",
        *(f"own: {run.folder}, seed {run.seed}, {len(run.curve)} tests" for run in runs),
        *(f"not the row's recipe: {other}" for other in sorted({other_precision(run, recipe) for run in runs} - {""})),
    ]
    layers = _layers(runs, curve)
    if isinstance(layers, Table):
        tables.append(layers)
    elif layers:
        lines.append(layers)
    meanwhile = [f"{SIDES[side]} in epochs {a + 1} to {b + 1}" for side, a, b in excursions(found)]
    lines.append(
        f"{row.id}: {said}; in epochs {last.first + 1} to {last.last + 1} {last.difference:+.2f} percentage points, "
        f"limit ± {last.limit:.2f}" + (f"; before that {', '.join(meanwhile)}" if meanwhile else "")
    )
    return (AGREES if said.agrees else DIFFERS), render(tables, lines, "text", wide).rstrip()


def _table(title: str, found: Sequence[Block]) -> Table:
    """Some of the blocks, evenly spaced, first and last always, and the one from which on the verdict holds."""
    since = verdict(found).since
    last = len(found) - 1
    shown = {round(step * last / (LINES - 1)) for step in range(LINES)} if last >= LINES else set(range(last + 1))
    columns = (EPOCHS, "own", "authors'", "difference", "limit ±", "own noise", "authors' noise", "")
    table = Table(title, columns)
    for place, block in enumerate(found):
        if place in shown or block.first == since:
            numbers = [f"{block.own:.2f}", f"{block.official:.2f}", f"{block.difference:+.2f}", f"{block.limit:.2f}"]
            noises = [f"{block.own_noise:.2f}", f"{block.official_noise:.2f}"]
            table.lines.append([_span(block), *numbers, *noises, SIDES[block.side]])
    return table


def _span(block: Block) -> str:
    """Its epochs, counted from 1, as everywhere that a person reads."""
    return f"{block.first + 1}-{block.last + 1}"


def _each(own: Mapping[int, float], official: Sequence[float]) -> Table:
    """Of a short run, every epoch."""
    table = Table("epoch by epoch", ("epoch", "own", "authors'", "difference"))
    for epoch in sorted(epoch for epoch in own if epoch < len(official)):
        values = own[epoch], official[epoch]
        table.lines.append([str(epoch + 1), *(f"{value:.2f}" for value in values), f"{values[0] - values[1]:+.2f}"])
    return table


def _layers(runs: Sequence[Run], curve: OfficialCurve) -> Table | str | None:
    """PLIF's w of each layer beside the authors', over the last block; or why there is no comparison."""
    measured = [w for run in runs if (w := plif_w(run))]
    if not curve.w or not measured:
        return "the authors' log has w of PLIF; the runs' layers.csv have none" if curve.w else None
    names = list(measured[0])
    if any(len(w) != len(curve.w) for w in measured):
        return f"w of PLIF is not compared: {len(names)} layers, in the authors' log {len(curve.w)}"
    table = Table(
        f"w of PLIF by layer, 1 / tau = sigmoid(w); seeds may differ by {W_TOLERANCE:g}",
        ("layer", EPOCHS, "own w", "authors' w", "difference", "limit ±", "own tau", "authors' tau", "w"),
    )
    for place, (name, official) in enumerate(zip(names, curve.w, strict=True)):
        found = blocks(mean_curve(list(w.values())[place] for w in measured), official, W_TOLERANCE)
        if found:
            last = found[-1]
            ws = [f"{last.own:.3f}", f"{last.official:.3f}", f"{last.difference:+.3f}", f"{last.limit:.3f}"]
            taus = [f"{1 + math.exp(-w):.2f}" for w in (last.own, last.official)]
            said = str(verdict(found))
            table.lines.append([labels.layer(name), _span(last), *ws, *taus, said])
    return table
