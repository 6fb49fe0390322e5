"""What the page shows of a run once it is chosen: its curves, layers, energy and confusions; packed small."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from snnbench import parallel
from snnbench.files import read_bytes
from snnbench.results.dashboard.entries import number
from snnbench.runs import curves
from snnbench.runs.confusion import Cell, read_confusion
from snnbench.runs.read import Run
from snnbench.runs.result import brief
from snnbench.runs.schema import CONFUSION, EPOCH, LAYERS, METRICS, TEST_ACC

LAYER_EPOCHS = 16_000  # of layers.csv over all runs of a page; beyond, each run's epochs are thinned out
FEWEST = 10
CELLS = 1_000_000  # of confusion.csv over all runs of a page; beyond, each run's rarest confusions are left out
DIGITS = 4

Metrics = dict[str, list[str]]
Layers = dict[str, dict[str, tuple[list[str], list[str]]]]


def details(runs: Sequence[Run]) -> tuple[list[str], list[str]]:
    """Each run's details as `packed` has them, and one line for each file that is missing or damaged."""
    jobs = [(run.folder, run.status == "finished", run.result.get("energy")) for run in runs]
    share = max(len(runs), 1)
    found = parallel.each(partial(packed, most=max(FEWEST, LAYER_EPOCHS // share), cells=CELLS // share), jobs)
    return [text for text, _ in found], [problem for _, problems in found for problem in problems]


def packed(job: tuple[Path, bool, Any], most: int, cells: int) -> tuple[str, list[str]]:
    """A run's metrics.csv and layers.csv, column by column, and its layers' energy; and what cannot be shown of it.

    Args:
        job: the run's folder, whether it finished, and its energy.
        most: epochs of layers.csv that are kept.
        cells: of confusion.csv that are kept beside those of samples that were taken for what they are.

    Returns:
        JSON, gzipped, as base64: {"metrics": {column: values}, "layers": {quantity: {layer: [epochs, values]}},
        "energy": {"model", "picojoules": {layer: per sample}}, or null, "confusion": [classes, what they were taken
        for, samples, classes again with all of their samples], or null}, where lists of numbers are texts with commas;
        and a line for each file that is missing or damaged.
    """
    folder, finished, energy = job
    problems: list[str] = []
    metrics: Metrics = _read(folder / METRICS, read_metrics, finished, problems)
    layers: Layers = _read(
        folder / LAYERS, partial(read_layers, tested=_tested(metrics), most=most), finished, problems
    )
    found = {
        "metrics": {name: ",".join(values) for name, values in metrics.items()},
        "layers": {
            quantity: {layer: [",".join(epochs), ",".join(values)] for layer, (epochs, values) in each.items()}
            for quantity, each in layers.items()
        },
        "energy": _energy(energy),
        "confusion": _confusion(folder, cells, problems),
    }
    return compressed(json.dumps(found)), problems


def compressed(text: str) -> str:
    """Gzipped, as base64."""
    return base64.b64encode(gzip.compress(text.encode(), 5, mtime=0)).decode()


def _read(path: Path, read: Callable[[bytes], Any], finished: bool, problems: list[str]) -> Any:
    try:
        return read(read_bytes(path))
    except FileNotFoundError:
        if finished:
            problems.append(f"{path}: is missing; what it holds is not shown")
    except OSError as error:
        problems.append(f"{path}: cannot be read ({brief(error)}); what it holds is not shown")
    except ValueError:
        problems.append(f"{path}: is damaged; what it holds is not shown")
    return {}


def read_metrics(text: bytes) -> Metrics:
    """The columns of metrics.csv, numbers rounded to four digits.

    Raises:
        ValueError: it is not as a run writes it.
    """
    columns = curves.metrics(text)
    return {
        name: [str(int(value)) for value in values] if name == EPOCH else _rounded(values)
        for name, values in columns.items()
        if values
    }


def read_layers(text: bytes, tested: Sequence[int], most: int) -> Layers:
    """By quantity and layer, the epochs of layers.csv and the values in them, rounded to four digits.

    At most `most` epochs are kept, evenly spaced among those with a test, the last one always.

    Raises:
        ValueError: it is not as a run writes it.
    """
    found: Layers = {}
    for epoch, layer, quantity, value in curves.layer_rows(text, thinned(tested, most)):
        epochs, values = found.setdefault(quantity, {}).setdefault(layer, ([], []))
        epochs.append(epoch)
        values.append(value)
    for layers in found.values():
        for _, values in layers.values():
            values[:] = _rounded(values)
    return found


def thinned(epochs: Sequence[int], most: int) -> list[int] | None:
    """`most` of these epochs, the last always among them; None for all of them, where they are no more."""
    if len(epochs) <= most:
        return None
    last = len(epochs) - 1
    return sorted({epochs[round(step * last / (most - 1))] for step in range(most)})


def _confusion(folder: Path, most: int, problems: list[str]) -> list[str] | None:
    """Of an older run there is none, and none of one that ended before its first test."""
    cells: list[Cell] = []
    if os.path.lexists(folder / CONFUSION):
        cells = _read(folder / CONFUSION, read_confusion, True, problems) or []
    if not cells:
        return None
    samples: dict[int, int] = {}
    for label, _, count in cells:
        samples[label] = samples.get(label, 0) + count
    right = [cell for cell in cells if cell[0] == cell[1]]
    wrong = sorted((cell for cell in cells if cell[0] != cell[1]), key=lambda cell: -cell[2])[:most]
    columns = [*zip(*sorted([*right, *wrong]), strict=True), tuple(samples), tuple(samples.values())]
    return [",".join(map(str, column)) for column in columns]


def _energy(energy: Any) -> dict[str, Any] | None:
    layers = energy.get("layers") if isinstance(energy, dict) else None
    if not isinstance(layers, dict):
        return None
    known = {name: layer for name, layer in layers.items() if isinstance(layer, dict)}
    picojoules = {name: number(layer.get("picojoule"), DIGITS) for name, layer in known.items()}
    return {"model": str(energy.get("model")), "picojoules": picojoules}


def _rounded(texts: Iterable[str]) -> list[str]:
    return [f"{float(text):.{DIGITS}g}" if text else "" for text in texts]


def _tested(metrics: Metrics) -> list[int]:
    """The epochs with a test accuracy, or all where none has one."""
    epochs = [int(epoch) for epoch in metrics.get(EPOCH, ())]
    accuracies = metrics.get(TEST_ACC, epochs)
    return [epoch for epoch, accuracy in zip(epochs, accuracies, strict=True) if accuracy != ""] or epochs
