"""Networks that were trained with one neuron and evaluated with another: a line for each row that is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from snnbench import commands
from snnbench.results.outcomes import Outcome, Spread
from snnbench.results.rows import Registry
from snnbench.results.tables.papers import Table
from snnbench.runs.deployed import BETWEEN, Deployed, measured


def deployed_table(
    paper: str, registry: Registry, rows: Iterable[tuple[str, Sequence[Deployed]]], outcomes: Mapping[str, Outcome]
) -> Table:
    """Reported accuracies by trained row and other neuron, each with what runs of the row have, as eval.py measured it.

    Args:
        paper: whose rows these are.
        registry: of the papers.
        rows: by the id of the trained row, what is measured on its runs.
        outcomes: of the trained rows; only runs that count for them are looked at.
    """
    found = list(rows)
    names = list(dict.fromkeys(row.name for _, own in found for row in own))
    table = Table(f"{paper}: trained, then evaluated with another neuron", ("row", "own neuron", *names))
    values = 0
    for trained, own in found:
        outcome = outcomes[trained]
        spreads = {row.name: _measured(row, outcome) for row in own}
        accs = {row.name: _cell(row.acc, spreads[row.name]) for row in own}
        values += sum(spread is not None for spread in spreads.values())
        acc = outcome.row.acc
        itself = "unknown" if acc is None else _cell(acc, outcome.reproduced)
        table.lines.append([trained.partition("/")[2], itself, *(accs.get(name, "-") for name in names)])
    count = sum(len(own) for _, own in found)
    table.summary = f"{values} of {count} values measured here; reported, and behind a colon what runs of the row have."
    sources = dict.fromkeys(registry.sources[row.source] for _, own in found for row in own)
    table.notes = [
        f"reported by: {'; '.join(sources)}",
        f"measure one on a run of ROW: {commands.evaluate(run='RUN')} row={paper}/ROW{BETWEEN}NAME",
    ]
    return table


def _measured(row: Deployed, outcome: Outcome) -> Spread | None:
    values = [value for run in outcome.counted if (value := measured(run.folder, row)) is not None]
    return Spread.of(values) if values else None


def _cell(reported: float, reproduced: Spread | None) -> str:
    return f"{reported:.2f}" if reproduced is None else f"{reported:.2f}: {reproduced}"
