"""Runs counted for each row, and those that are not, with the reason."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from snnbench.config import compose_row
from snnbench.errors import UserError
from snnbench.results.rows import Row
from snnbench.runs.read import Ledger, Run
from snnbench.runs.recipe import NOT_RECIPE, describe, differences, recipe_hash

Compose = Callable[[str], dict[str, Any]]
# What on a command line cannot change a recipe, besides the keys outside of it: with nothing else there, a differing
# recipe means an edited row. epochs can: the learning rates follow it.
HARMLESS = (NOT_RECIPE | {"experiment", "hydra"}) - {"epochs"}


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

    def __str__(self) -> str:
        if self.std is None:
            return f"{self.mean:.2f} (single seed)"
        return f"{self.mean:.2f} ± {self.std:.2f} (n={self.n})"


@dataclass
class Outcome:
    """What became of one row.

    Attributes:
        row: the row.
        counted: finished runs of the row's recipe on the real data, one for each seed.
        apart: the others, each with the reason why it is not counted.
        notes: what else should be known of these runs.
        planned: epochs of the row; None where no run asked for them.
    """

    row: Row
    counted: list[Run] = field(default_factory=list)
    apart: list[tuple[Run, str]] = field(default_factory=list)
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
    found = {id: Outcome(row) for id, row in rows.items()}
    runs: dict[str, list[Run]] = {}
    for run in ledger.runs:
        if run.row in rows:
            runs.setdefault(str(run.row), []).append(run)
    for id, own in runs.items():
        try:
            config = compose(id)
        except UserError as error:
            ledger.problems.append(str(error))
            found[id].apart = [(run, "the row's config does not compose") for run in own]
        else:
            _fill(found[id], own, config)
    return found


def _fill(outcome: Outcome, runs: list[Run], config: dict[str, Any]) -> None:
    outcome.planned = int(config["epochs"])
    recipe = recipe_hash(config)
    by_seed: dict[int, Run] = {}
    for run in runs:
        reason = _why_not(run, config, recipe)
        if reason is None and run.seed in by_seed:
            reason = f"seed {run.seed} again; counted is {by_seed[run.seed].folder}"
        if reason is not None:
            outcome.apart.append((run, reason))
            continue
        by_seed[run.seed] = run
        outcome.counted.append(run)
        if run.config["row"] != outcome.row.block:
            outcome.notes.append(f"{run.folder}: the row block was edited after this run; the file's is shown")


def _why_not(run: Run, config: dict[str, Any], recipe: str) -> str | None:
    if run.provenance != "real":
        return f"{run.status}; not the real data: {run.provenance}"
    if run.recipe != recipe:
        what = describe(differences(run.config, config))
        edited = not overrides(run.command)
        reason = "the row's config was edited after this run" if edited else "another recipe than the row's"
        return f"{run.status}; {reason}: {what}"
    if run.status != "finished":
        return f"{run.status} after {run.epochs} of {run.planned} epochs{_error(run)}"
    if run.planned != int(config["epochs"]) or run.epochs != run.planned:
        return f"{run.epochs} of the row's {config['epochs']} epochs"
    return None


def _error(run: Run) -> str:
    error = " ".join(str(run.result.get("error") or "").split())
    return f" ({error[:100]})" if error and run.status == "failed" else ""


def overrides(command: str) -> list[str]:
    """The words of a run's command line that can have changed its recipe."""
    words = [word.lstrip("+~") for word in command.split() if "=" in word]
    keys = [word.partition("=")[0] for word in words]
    return [
        word
        for word, key in zip(words, keys, strict=True)
        if key not in HARMLESS and key.partition(".")[0] not in HARMLESS
    ]


@dataclass
class Group:
    """Runs that belong to no row, of one name and recipe."""

    name: str
    recipe: str
    epochs: int
    counted: list[Run] = field(default_factory=list)
    apart: list[tuple[Run, str]] = field(default_factory=list)


def groups(ledger: Ledger, rows: dict[str, Row]) -> list[Group]:
    """Runs without a row, or of a row that is no more, by name, recipe and epochs; each seed counted once."""
    found: dict[tuple[str, str, int], Group] = {}
    for run in ledger.runs:
        if run.row in rows:
            continue
        name = run.row or str(run.config.get("name"))
        group = found.setdefault((name, run.recipe, run.planned), Group(name, run.recipe, run.planned))
        if run.status != "finished":
            group.apart.append((run, f"{run.status} after {run.epochs} of {run.planned} epochs{_error(run)}"))
        elif run.seed in {other.seed for other in group.counted}:
            group.apart.append((run, f"seed {run.seed} again"))
        elif {run.provenance} != ({other.provenance for other in group.counted} or {run.provenance}):
            group.apart.append((run, f"other data than the first run's: {run.provenance}"))
        else:
            group.counted.append(run)
    return [found[key] for key in sorted(found)]
