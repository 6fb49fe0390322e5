"""What can be run: the rows with what is reported, what was compared with the authors' code, and how long they take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from snnbench import commands
from snnbench.results.outcomes import Outcome
from snnbench.results.rows import Registry, Row
from snnbench.results.tables.papers import Table, order
from snnbench.results.work import estimate
from snnbench.runs.quantities import QUANTITIES
from snnbench.runs.read import Run
from snnbench.runs.schema import protocol_label

COLUMNS = ("row", "reported", "compared", "time", "protocol", "recipe", "not compared")
OWN = "by runs here, also unfinished ones"
THEIRS = "on the authors' GPU, by their log"
ESTIMATED = "on one H200, estimated from the operations at the rate of ResNet-20's step there; without loading of data"


def rows_table(rows: Iterable[Row], registry: Registry, outcomes: Mapping[str, Outcome] | None = None) -> Table:
    """A line for each row, by papers. With `outcomes`, times are those of own runs where there are any."""
    shown = order(rows)
    table = Table("Rows that can be run", COLUMNS, more=COLUMNS[4:], least=(*COLUMNS[:3:-1], "compared", "time"))
    for row in shown:
        proof, time = row.proof, _time(row, (outcomes or {}).get(row.id))
        compared = f"{len(proof.compared)} of {len(registry.parts)}" if proof else "-"
        reported = "unknown" if row.acc is None else f"{row.acc:.2f}"
        left = ", ".join(proof.open) if proof else "all"
        table.lines.append([row.id, reported, compared, time, protocol_label(row.protocol), row.recipe, left])
    marks = {"a": OWN, "b": THEIRS, "c": ESTIMATED}
    table.footnotes = {
        mark: text for mark, text in marks.items() if any(f"[{mark}]" in line[3] for line in table.lines)
    }
    table.summary = _summary(shown)
    table.notes = [
        f"compared: parts of {len(registry.parts)} that equal the authors' code: {', '.join(registry.parts)}",
        f"run one: {commands.command('train.py')} experiment=ROW, which says in its first minute how long it will take",
    ]
    return table


def _summary(rows: Sequence[Row]) -> str:
    unknown, proved = sum(row.acc is None for row in rows), sum(row.proved for row in rows)
    return f"{len(rows)} rows; network and gradients compared: {proved}; reported value unknown: {unknown}."


def _time(row: Row, outcome: Outcome | None) -> str:
    runs = [*outcome.counted, *(run for run, _ in outcome.left_out)] if outcome else []
    seconds = [found for run in runs if (found := _seconds_an_epoch(run)) is not None]
    if seconds and outcome and outcome.planned:
        return f"{QUANTITIES['wall_time'].format(min(seconds) * outcome.planned)} [a]"
    if row.hours is not None:
        return f"{row.hours} h [b]" if row.hours[-1].isdigit() else row.hours
    estimated = estimate(row.id)
    return "unknown" if estimated is None else f"{estimated} [c]"


def _seconds_an_epoch(run: Run) -> float | None:
    wall = QUANTITIES["wall_time"].of(run.result)
    return wall / run.epochs if wall and run.epochs else None
