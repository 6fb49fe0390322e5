"""What the page shows, gathered from the folders of the runs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from snnbench import parallel
from snnbench.config import CONFIGS, compose_row
from snnbench.errors import UserError
from snnbench.results.dashboard.authors import official, said
from snnbench.results.dashboard.details import details
from snnbench.results.dashboard.entries import config_columns, entries, neurons, quantities
from snnbench.results.dashboard.page import page
from snnbench.results.outcomes import Compose, Outcome, groups, outcomes
from snnbench.results.rows import Row, read_registry, read_rows
from snnbench.results.tables.papers import ledger_notes, order, paper_table
from snnbench.runs.quantities import CURVES
from snnbench.runs.read import read_ledger

CURVE = "authors' curve"


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
        "neurons": neurons(ledger.runs),
        "config": config_columns(ledger.runs),
        "quantities": quantities(),
        "curves": CURVES,
        "official": official(ledger.runs, rows, compose),
        "papers": _papers(configs, rows, found, compose),
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


def _papers(configs: Path, rows: dict[str, Row], found: dict[str, Outcome], compose: Compose) -> list[dict[str, Any]]:
    """The tables of tables.py, with a column for the authors' curve before the last, and their rows as numbers."""
    registry = read_registry(configs)
    tables = []
    for paper in registry.papers:
        own = [found[row.id] for row in order(rows.values()) if row.paper == paper]
        table = vars(paper_table(paper, registry, own))
        curves = [said(outcome, compose) for outcome in own]
        lines = [[*line[:-1], curve, line[-1]] for line, curve in zip_longest(table["lines"], curves, fillvalue="-")]
        columns = [*table["columns"][:-1], CURVE, table["columns"][-1]]
        points = [_point(outcome) for outcome in own]
        tables.append({"key": paper, **table, "columns": columns, "lines": lines, "points": points})
    return tables


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
