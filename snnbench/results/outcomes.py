"""Runs counted for each row, and those that are not, with the reason."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from snnbench.config import compose_row
from snnbench.errors import UserError
from snnbench.results.rows import Row
from snnbench.results.selection import Selection, choose, not_real, unfinished
from snnbench.runs.code import row_flat
from snnbench.runs.read import Ledger, Run
from snnbench.runs.recipe import describe, differences

Compose = Callable[[str], dict[str, Any]]


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over n seeds; std is None for a single seed."""

    mean: float
    std: float | None
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        found = list(values)
        std = statistics.stdev(found) if len(found) > 1 else None
        return cls(statistics.fmean(found), std, len(found))

    @property
    def short(self) -> str:
        """Without the number of seeds, for where that stands elsewhere."""
        return f"{self.mean:.2f}" + (f" ± {self.std:.2f}" if self.std is not None else "")

    def __str__(self) -> str:
        if self.std is None:
            return f"{self.mean:.2f} (single seed)"
        return f"{self.short} (n={self.n})"


@dataclass
class Outcome(Selection):
    """What became of one row: `counted` are the finished runs of its recipe on the real data, one for each seed.

    Attributes:
        row: the row.
        notes: what else should be known of the counted runs.
        planned: epochs of the row; None where no run asked for them.
    """

    row: Row = field(kw_only=True)
    notes: list[str] = field(default_factory=list)
    planned: int | None = None

    def spread(self, protocol: str) -> Spread | None:
        """Over the counted runs that have an accuracy of this protocol."""
        values = [value for run in self.counted if (value := run.accuracy(protocol)) is not None]
        return Spread.of(values) if values else None

    @property
    def reproduced(self) -> Spread | None:
        return self.spread(self.row.protocol)

    @property
    def difference(self) -> float | None:
        """Reproduced minus reported, in percentage points."""
        spread = self.reproduced
        return None if spread is None or self.row.acc is None else spread.mean - self.row.acc


def outcomes(ledger: Ledger, rows: dict[str, Row], compose: Compose = compose_row) -> dict[str, Outcome]:
    """The outcome of every row; only rows that have runs are composed. Rows that do not compose join the problems."""
    found = {id: Outcome(row=row) for id, row in rows.items()}
    runs: dict[str, list[Run]] = {}
    for run in ledger.runs:
        if run.row in rows:
            runs.setdefault(str(run.row), []).append(run)
    for id, own in runs.items():
        try:
            found[id] = _outcome(rows[id], own, compose(id))
        except UserError as error:
            ledger.problems.append(str(error))
            found[id].left_out = [(run, "the row's config does not compose") for run in own]
    return found


def _outcome(row: Row, runs: list[Run], config: dict[str, Any]) -> Outcome:
    recipe = row_flat(config)
    chosen = choose(runs, lambda run: _why_not(run, int(config["epochs"]), recipe))
    edited = [run for run in chosen.counted if _shown(run.config["row"]) != _shown(row.block)]
    notes = [f"{run.folder}: the row block was edited after this run; the file's is shown" for run in edited]
    return Outcome(chosen.counted, chosen.left_out, row=row, notes=notes, planned=int(config["epochs"]))


def _shown(block: dict[str, Any]) -> dict[str, Any]:
    """What of a row's block is the paper's; what is proved of the row may grow after a run."""
    return {key: value for key, value in block.items() if key not in ("proof", "recipe")}


def _why_not(run: Run, epochs: int, recipe: dict[str, Any]) -> str | None:
    if not_real(run):
        return f"{run.status}; {not_real(run)}"
    differing = differences(run.flat, recipe)
    if differing:
        edited = not run.overrides
        reason = "the row's config was edited after this run" if edited else "another recipe than the row's"
        return f"{run.status}; {reason}: {describe(differing)}"
    if run.status == "finished" and (run.planned, run.epochs) != (epochs, epochs):
        return f"{run.epochs} of the row's {epochs} epochs"
    return unfinished(run)


@dataclass
class Group(Selection):
    """Runs that belong to no row, of one name, recipe, number of epochs and data."""

    name: str = field(kw_only=True)
    recipe: str = field(kw_only=True)
    epochs: int = field(kw_only=True)


def groups(ledger: Ledger, rows: dict[str, Row]) -> list[Group]:
    """Runs without a row, or of a row that is no more; each seed counted once."""
    found: dict[tuple[str, str, int, str], list[Run]] = {}
    for run in ledger.runs:
        if run.row not in rows:
            key = (run.row or str(run.config.get("name")), run.recipe, run.planned, run.data)
            found.setdefault(key, []).append(run)
    grouped = []
    for (name, recipe, epochs, _), runs in sorted(found.items()):
        chosen = choose(runs, unfinished)
        grouped.append(Group(chosen.counted, chosen.left_out, name=name, recipe=recipe, epochs=epochs))
    return grouped
