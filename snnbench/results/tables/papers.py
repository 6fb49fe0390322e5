"""Tables of rows: reported beside reproduced, with everything that was not counted below."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from snnbench.results.outcomes import Group, Outcome, Spread
from snnbench.results.rows import Quoted, Registry, Row
from snnbench.runs.quantities import ENERGY
from snnbench.runs.read import Ledger
from snnbench.runs.schema import protocol_label

MORE = ("protocol", "last epoch", "energy", "epochs", "recipe")
COLUMNS = ("row", "reported", "reproduced", "difference", *MORE, "status")
LEAST = ("recipe", "epochs", "energy", "last epoch", "protocol", "difference", "status", "reproduced", "reported")
REPRODUCED = COLUMNS.index("reproduced")


@dataclass
class Table:
    """Cells as text. `summary` stands above them, `notes` below; `footnotes` are the meanings of marks in them, [a].

    `best` are the cells, by line and column, that are the best of those beside them: bold where there is bold.

    A terminal is shown the columns of `more` on demand. Where a line is too short for the others, those in `least` go,
    in that order; by default the last one goes first. `whole` says where they are then.
    """

    title: str
    columns: tuple[str, ...]
    lines: list[list[str]] = field(default_factory=list)
    footnotes: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    least: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    summary: str = ""
    best: list[tuple[int, int]] = field(default_factory=list)
    whole: str = "a wider terminal, --wide and --format md have it"


def best_of(values: Mapping[int, float], better: str | None, written: Callable[[float], str]) -> set[int]:
    """The keys of the best value, and of those that are the same as written; none where all are.

    Args:
        values: by line.
        better: "higher", "lower", or None where no value is better than another.
        written: the text of a value.
    """
    if better is None or not values:
        return set()
    best = written((max if better == "higher" else min)(values.values()))
    found = {key for key, value in values.items() if written(value) == best}
    return found if len(found) < len(values) else set()


def paper_table(paper: str, registry: Registry, outcomes: Iterable[Outcome]) -> Table:
    """The table of one paper: its rows, then those that cannot be run."""
    outcomes = list(outcomes)
    quoted_rows = [quoted for quoted in registry.quoted if quoted.paper == paper]
    summary = tally(outcomes, len(quoted_rows))
    table = Table(_title(paper, registry.papers[paper]), COLUMNS, least=LEAST, more=MORE, summary=summary)
    marks: dict[str, str] = {}

    def marked(text: str, meaning: str) -> str:
        if meaning not in marks:
            marks[meaning] = chr(ord("a") + len(marks))
            table.footnotes[marks[meaning]] = meaning
        return f"{text} [{marks[meaning]}]"

    def reported(acc: float | None, source: str) -> str:
        return marked("unknown" if acc is None else f"{acc:.2f}", registry.sources[source])

    def recipe(row: Row) -> str:
        meaning = registry.recipes.get(row.recipe, row.recipe)
        return marked(row.recipe, f"{meaning}. {row.proof}" if row.proof else meaning)

    values = [_all_reported(outcome.row, reported) for outcome in outcomes]
    quoted_values = [reported(quoted.acc, quoted.source) for quoted in quoted_rows]  # marks in the order of columns
    for outcome, value in zip(outcomes, values, strict=True):
        row = outcome.row
        *measured, said = _measured(outcome)
        table.lines.append([row.id.partition("/")[2], value, *measured, recipe(row), said])
        table.notes += [f"{run.folder}: not counted for {row.id}: {why}" for run, why in outcome.left_out]
        table.notes += outcome.notes
    table.best = _best_reproduced(outcomes)
    for quoted, value in zip(quoted_rows, quoted_values, strict=True):
        table.lines.append([_quoted_name(quoted), value, *["-"] * (len(COLUMNS) - 3), f"not runnable: {quoted.reason}"])
    return table


def _best_reproduced(outcomes: Sequence[Outcome]) -> list[tuple[int, int]]:
    """The cells of the best means on each data set."""
    means: dict[str, dict[int, float]] = {}
    for line, outcome in enumerate(outcomes):
        if (spread := outcome.reproduced) is not None:
            means.setdefault(outcome.row.data, {})[line] = spread.mean
    return [(line, REPRODUCED) for own in means.values() for line in best_of(own, "higher", "{:.2f}".format)]


def _all_reported(row: Row, reported: Callable[[float | None, str], str]) -> str:
    """The value of the row, and those that it has under other protocols."""
    own = reported(row.acc, row.source)
    others = row.block.get("also", [])
    also = [f"{protocol_label(other['protocol'])}: {reported(other['acc'], other['source'])}" for other in others]
    return "; ".join([own, *also])


def tally(outcomes: Sequence[Outcome], quoted: int = 0) -> str:
    """How many rows there are, were reproduced, and have no known value, in a line."""
    compared = [outcome for outcome in outcomes if outcome.difference is not None]
    reproduced = sum(abs(outcome.difference or 0.0) <= outcome.row.tolerance for outcome in compared)
    unknown = sum(outcome.row.acc is None for outcome in outcomes)
    parts = [f"{reproduced} of {len(outcomes)} rows reproduced"]
    parts += [f"{len(compared) - reproduced} outside the tolerance"] if len(compared) > reproduced else []
    unfinished = sum(outcome.reproduced is None for outcome in outcomes)
    parts += [f"{unfinished} without a finished run"] if unfinished else []
    parts += [f"reported value unknown: {unknown}"] if unknown else []
    parts += [f"{quoted} more cannot be run here"] if quoted else []
    return "; ".join(parts) + "."


def _title(key: str, paper: dict[str, Any]) -> str:
    where = f"arXiv {paper['arxiv']}" if paper["arxiv"] else None
    details = ", ".join(str(part) for part in (where, paper["year"]) if part)
    return f"{key}: {paper['title']}" + (f" ({details})" if details else "")


def _quoted_name(quoted: Quoted) -> str:
    return f"{quoted.data}, {quoted.backbone}, {quoted.method}" + (f", T={quoted.T}" if quoted.T else "")


def _measured(outcome: Outcome) -> list[str]:
    row, difference = outcome.row, outcome.difference
    spread, last = outcome.reproduced, outcome.spread("last_epoch")
    epochs = "-"
    if outcome.counted:
        epochs = f"{min(run.epochs for run in outcome.counted)} of {outcome.planned}"
    elif outcome.left_out:
        furthest = max(run.epochs for run, _ in outcome.left_out)
        epochs = f"{furthest} of {outcome.planned}" if outcome.planned else str(furthest)
    return [
        "-" if spread is None else str(spread),
        "-" if difference is None else f"{difference:+.2f}",
        protocol_label(row.protocol),
        "-" if last is None else str(last),
        _energy(outcome),
        epochs,
        status(outcome, spread),
    ]


def _energy(outcome: Outcome) -> str:
    """Of a sample, the mean of the counted runs; none where one of them was not measured."""
    values = [value for run in outcome.counted if (value := ENERGY.of(run.result)) is not None]
    if not values or len(values) < len(outcome.counted):
        return "-"
    return ENERGY.text(statistics.fmean(values))


def status(outcome: Outcome, spread: Spread | None) -> str:
    """One phrase: reproduced, outside the tolerance, no run, ...; and how many runs are not counted."""
    row, difference = outcome.row, outcome.difference
    if spread is None:
        phrase = "no run"
        if outcome.counted:
            phrase = f"no accuracy {protocol_label(row.protocol)}"
        elif outcome.left_out:
            phrase = "no finished run of this recipe"
    elif difference is None:
        phrase = "run; nothing to compare with"
    else:
        phrase = "reproduced" if abs(difference) <= row.tolerance else f"outside ± {row.tolerance:g}"
    return phrase + (f"; {len(outcome.left_out)} not counted" if outcome.left_out else "")


def groups_table(groups: Iterable[Group]) -> Table:
    """Runs that belong to no row."""
    protocols = ("last_epoch", "best_test_epoch")
    columns = ("name", "recipe", *map(protocol_label, protocols), "epochs", "data")
    table = Table("Runs of no row", columns, least=("recipe", "epochs", "best test epoch", "data", "last epoch"))
    for group in groups:
        spreads = []
        for protocol in protocols:
            values = [value for run in group.counted if (value := run.accuracy(protocol)) is not None]
            spreads.append(str(Spread.of(values)) if values else "-")
        data = ", ".join(sorted({run.provenance for run in group.counted})) or "-"
        table.lines.append([group.name, group.recipe, *spreads, str(group.epochs), data])
        table.notes += [f"{run.folder}: not counted for {group.name}: {why}" for run, why in group.left_out]
    return table


def ledger_notes(ledger: Ledger) -> list[str]:
    """Copies and folders that could not be read."""
    copies = [f"{copy.folder}: a copy of {original.folder}, counted once" for copy, original in ledger.copies]
    return [*copies, *ledger.problems]


def order(rows: Iterable[Row]) -> list[Row]:
    """By data set and network as in the files' names, T as a number."""

    def key(row: Row) -> tuple[str, int, str]:
        head, _, tail = row.id.rpartition("_t")
        digits = tail.partition("_")[0]
        return head, int(digits) if digits.isdigit() else 0, tail

    return sorted(rows, key=key)
