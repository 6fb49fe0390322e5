"""What the page shows, gathered from the folders of the runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from snnbench import parallel
from snnbench.config import CONFIGS, compose_row
from snnbench.errors import UserError
from snnbench.official import curve_of
from snnbench.results.dashboard.details import details
from snnbench.results.dashboard.entries import config_columns, entries, quantities
from snnbench.results.dashboard.page import page
from snnbench.results.outcomes import Compose, Outcome, groups, outcomes
from snnbench.results.rows import Row, read_registry, read_rows
from snnbench.results.selection import not_real
from snnbench.results.tables.papers import Table, groups_table, ledger_notes, order, paper_table
from snnbench.runs.code import row_recipe
from snnbench.runs.quantities import CURVES
from snnbench.runs.read import Run, read_ledger


@dataclass(frozen=True)
class Dashboard:
    """The page, how many runs are on it, and one line for each copy and whatever else is not."""

    html: str
    runs: int
    notes: list[str]


def build(folders: Iterable[str | Path], configs: Path = CONFIGS) -> Dashboard:
    """The page of all runs in and below `folders`, beside the tables of the papers.

    Raises:
        UserError: one of the folders does not exist.
    """
    folders = list(folders)
    rows, unread = read_rows(configs)
    ledger = read_ledger(folders)
    ledger.problems[:0] = unread
    packed, damaged = details(ledger.runs)
    ledger.problems += damaged
    compose = _composed(sorted({str(run.row) for run in ledger.runs} & rows.keys()), configs)
    found = outcomes(ledger, rows, compose)
    others = groups(ledger, rows)
    apart = dict(pair for outcome in found.values() for pair in outcome.left_out)
    apart |= dict(pair for group in others for pair in group.left_out)
    data = {
        "generated": time.strftime("%Y-%m-%d %H:%M"),
        "folders": [str(folder) for folder in folders],
        "runs": entries(ledger.runs, apart),
        "config": config_columns(ledger.runs),
        "quantities": quantities(),
        "curves": CURVES,
        "official": _official(ledger.runs, rows, compose),
        "papers": [*_papers(configs, rows, found), _table("no-row", groups_table(others))],
        "copies": [[str(copy.folder), str(original.folder)] for copy, original in ledger.copies],
        "problems": ledger.problems,
    }
    return Dashboard(page(data, packed), len(ledger.runs), ledger_notes(ledger))


def _composed(rows: list[str], configs: Path) -> Compose:
    """`compose_row`, worked out for these rows already; each takes a tenth of a second."""
    found = dict(zip(rows, parallel.each(partial(_config_or_error, configs=configs), rows, many=4), strict=True))

    def compose(row: str) -> dict[str, Any]:
        config = found[row]
        if isinstance(config, UserError):
            raise config
        return config

    return compose


def _config_or_error(row: str, configs: Path) -> dict[str, Any] | UserError:
    try:
        return compose_row(row, configs)
    except UserError as error:
        return error


def _official(runs: Sequence[Run], rows: dict[str, Row], compose: Compose) -> dict[str, Any]:
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


def _papers(configs: Path, rows: dict[str, Row], found: dict[str, Outcome]) -> list[dict[str, Any]]:
    registry = read_registry(configs)
    tables = []
    for paper in registry.papers:
        own = [found[row.id] for row in order(rows.values()) if row.paper == paper]
        points = [_point(outcome) for outcome in own]
        tables.append({**_table(paper, paper_table(paper, registry, own)), "points": points})
    return tables


def _table(key: str, table: Table) -> dict[str, Any]:
    return {"key": key, **vars(table), "points": []}


def _point(outcome: Outcome) -> dict[str, Any]:
    """Reported and reproduced as numbers, and how many runs there are of the row at all."""
    row, spread = outcome.row, outcome.reproduced
    return {
        "row": row.id,
        "reported": row.acc,
        "tolerance": row.tolerance,
        "milestones": row.milestones,
        "mean": spread and spread.mean,
        "std": spread and spread.std,
        "n": spread.n if spread else 0,
        "runs": len(outcome.counted) + len(outcome.left_out),
    }
