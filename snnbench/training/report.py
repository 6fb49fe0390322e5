"""The last thing a run prints."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from snnbench import commands, status, terminal
from snnbench.claims import Claim
from snnbench.runs.quantities import ENERGY, shown
from snnbench.runs.result import read_result
from snnbench.runs.schema import Result


def short(folder: Path) -> str:
    """The folder as a person would type it here."""
    return commands.typed(folder)


def finished(folder: Path, result: Result) -> None:
    """One table: accuracies by how they were chosen, firing rate, speed, time, folder."""
    table = Table(title=escape(f"{result['name']}, seed {result['seed']}"), show_header=False, title_justify="left")
    for key, value in summary(result).items():
        table.add_row(key, value)
    terminal.console().print(_folded(table))
    for quantity in shown("report"):
        if quantity.later and quantity.of(result) is None:
            print(f"{quantity.label}: {commands.evaluate(run=folder, **quantity.later)}")
    print(f"folder: {short(folder)}")


def summary(result: Result) -> dict[str, str]:
    """The figures of a finished run as label and text."""
    rows = {}
    if result["provenance"] != "real":
        rows["data"] = f"{result['provenance']}: not for tables"
    for quantity in shown("report"):
        value, epoch = quantity.of(result), quantity.epoch_of(result)
        if value is not None:
            rows[quantity.label] = quantity.text(value) + ("" if epoch is None else f" (epoch {epoch + 1})")
        elif quantity.later:
            rows[quantity.label] = "not measured"
    return rows


def energy_table(energy: dict[str, Any]) -> Table:
    """The `energy` block of a result, by layer and in total."""
    title = f"operations and energy of one sample ({energy['model']}), mean of {energy['samples']:,}"
    table = Table("layer", "input", *("rate", "AC", "MAC", "pJ", "ANN's MAC"), title=title, title_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    for name, layer in energy["layers"].items():
        counts = (f"{layer[key]:,.0f}" for key in ("ac", "mac", "picojoule", "ann_mac"))
        table.add_row(escape(name), layer["input"], f"{layer['input_rate']:.3f}", *counts)
    for name, neurons in energy.get("neurons", {}).items():
        table.add_row(escape(name), "", "", "", "", f"{neurons['picojoule']:,.0f}", "")
    table.add_section()
    table.add_row("all", "", "", *(f"{energy[key]:,.0f}" for key in ("ac", "mac", "picojoule", "ann_mac")))
    table.caption, table.caption_justify = _energies(energy), "left"
    return _folded(table)


def _folded(table: Table) -> Table:
    """The table, whose words are folded where a line is too short for them, and never cut."""
    for column in table.columns:
        column.overflow = "fold"
    return table


def _energies(energy: dict[str, Any]) -> str:
    return f"{ENERGY.text(energy['picojoule'])}, as an ANN {ENERGY.text(energy['ann_picojoule'])}"


def interrupted(folder: Path, any_epoch: bool, why: str) -> None:
    """Say what stopped the run, and how to go on."""
    kept = "Finished epochs are kept." if any_epoch else "No epoch was finished yet."
    print(f"{why.rstrip('.')}. {kept} Go on with: {commands.train(resume=folder)}", file=sys.stderr)


def skipped(claim: Claim) -> None:
    """Say why a run is left."""
    why = "finished already"
    if claim.action == "running":
        why = f"job {status.number() + 1} is being trained by {claim.by or 'another process'}"
    elif claim.action == "failed" and claim.folder is not None:
        result = read_result(claim.folder)
        how = "its numbers diverged" if result.get("diverged") else f"it failed ({str(result.get('error'))[:200]})"
        why = f"{how}, and would do so again (retry=failed to try)"
    where = f": {short(claim.folder)}" if claim.folder else ""
    logging.getLogger("snnbench").info("skipped, %s%s", why, where)


def failed(folder: Path, error: BaseException) -> None:
    """Say what stopped the run and where its record lies."""
    print(f"error: {error}\nrecord: {short(folder)}", file=sys.stderr)
