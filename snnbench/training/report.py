"""The last thing a run prints."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def short(folder: Path) -> str:
    """The folder as a person would type it here."""
    relative = os.path.relpath(folder)
    return relative if len(relative) < len(str(folder)) else str(folder)


def finished(folder: Path, result: dict[str, Any]) -> None:
    """One table: accuracies by how they were chosen, firing rate, speed, time, folder."""
    table = Table(title=escape(f"{result['name']}, seed {result['seed']}"), show_header=False, title_justify="left")
    for key, value in summary(result).items():
        table.add_row(key, value)
    console = Console(soft_wrap=True)
    console.print(table)
    console.print(f"folder: {short(folder)}", highlight=False, markup=False)


def summary(result: dict[str, Any]) -> dict[str, str]:
    """The figures of a finished run as label and text."""
    accuracy = result["accuracy"]
    rows = {}
    if accuracy["last_epoch"] is not None:
        rows["test accuracy, last epoch"] = f"{accuracy['last_epoch']:.2f} %"
    labels = {"best_test_epoch": "test accuracy, best test epoch", "validation_chosen": "test accuracy, chosen on val"}
    for key, label in labels.items():
        if accuracy[key]:
            rows[label] = f"{accuracy[key]['acc']:.2f} % (epoch {accuracy[key]['epoch'] + 1})"
    if result["provenance"] != "real":
        rows["data"] = f"{result['provenance']}: not for tables"
    if result["firing_rate"] is not None:
        rows["firing rate"] = f"{result['firing_rate']:.3f} spikes per neuron and timestep"
    energy = result["energy"]
    rows["energy of a sample"] = _energies(energy) if energy else "not measured: eval.py energy=true"
    parameters = result["parameters"]
    rows["parameters"] = f"{parameters['total']:,} ({parameters['neurons']:,} in neurons)"
    if result["samples_per_second"]:
        rows["training speed"] = f"{result['samples_per_second']:,.0f} samples/s"
    rows["wall time"] = f"{result['seconds']['wall']:.1f} s"
    return rows


def energy_table(energy: dict[str, Any]) -> Table:
    """The `energy` block of a result, by layer and in total."""
    title = f"operations and energy of one sample ({energy['model']}), mean of {energy['samples']:,}"
    table = Table("layer", "input", *("rate", "AC", "MAC", "pJ", "MAC of an ANN"), title=title, title_justify="left")
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
    return table


def _energies(energy: dict[str, Any]) -> str:
    own, ann = (f"{energy[key] / 1e6:.3g} µJ" for key in ("picojoule", "ann_picojoule"))
    return f"{own}, as an ANN {ann}"


def interrupted(folder: Path, any_epoch: bool) -> None:
    """Say how to go on."""
    kept = "Finished epochs are kept." if any_epoch else "No epoch was finished yet."
    Console(stderr=True, soft_wrap=True).print(
        f"interrupted. {kept} Go on with: python train.py resume={shlex.quote(short(folder))}",
        highlight=False,
        markup=False,
    )


def failed(folder: Path, error: Exception) -> None:
    """Say what stopped the run and where its record lies."""
    text = f"error: {error}\nrecord: {short(folder)}"
    Console(stderr=True, soft_wrap=True).print(text, highlight=False, markup=False)
