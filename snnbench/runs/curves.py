"""metrics.csv and layers.csv: what a run measured epoch by epoch, written and read in one way."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from snnbench.files import write_text
from snnbench.runs.schema import EPOCH, LAYER_COLUMNS, LAYERS, METRICS

LAYERS_HEAD = (",".join(LAYER_COLUMNS) + "\n").encode()


def write_metrics(folder: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Replace metrics.csv by these rows, one an epoch; a value that one lacks is left empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    write_text(folder / METRICS, _csv(columns, ([row.get(key, "") for key in columns] for row in rows)))


def write_layers(folder: Path, rows: Iterable[tuple[int, str, str, float]]) -> None:
    """Replace layers.csv by these rows of LAYER_COLUMNS."""
    write_text(folder / LAYERS, _csv(LAYER_COLUMNS, rows))


def _csv(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def metrics(text: bytes) -> dict[str, list[str]]:
    """The columns of a metrics.csv, their values as texts: rising whole numbers for epochs, else numbers or nothing.

    Raises:
        ValueError: it is not as a run writes it.
    """
    head, *rows = (line.split(",") for line in text.decode().splitlines())
    if head[0] != EPOCH:
        raise ValueError("no epochs")
    values = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in head]
    epochs = [int(epoch) for epoch in values[0]]
    if any(after <= before for before, after in pairwise([-1, *epochs])) or len(set(head)) < len(head):
        raise ValueError("epochs out of order, or a column twice")
    return dict(zip(head, values, strict=True))


def layer_rows(text: bytes, epochs: Sequence[int] | None = None) -> Iterator[list[str]]:
    """The rows of a layers.csv as texts, those of an epoch together; of `epochs`, in rising order, or of all.

    Raises:
        ValueError: it is not as a run writes it.
    """
    if not text.startswith(LAYERS_HEAD) or not text.endswith(b"\n"):
        raise ValueError("not a layers.csv")
    lines = text[len(LAYERS_HEAD) :]
    for line in (lines if epochs is None else _of_epochs(lines, epochs)).decode().splitlines():
        values = line.split(",")
        if len(values) != len(LAYER_COLUMNS):
            raise ValueError("not a row of a layers.csv")
        yield values


def _of_epochs(lines: bytes, epochs: Sequence[int]) -> bytes:
    """The lines of some epochs, without a look at the others: a long run has a hundred thousand."""
    found, place = [], 0
    for epoch in epochs:
        start = 0 if lines.startswith(b"%d," % epoch) else lines.find(b"\n%d," % epoch, place) + 1
        block = re.compile(rb"(?:%d,.*\n)+" % epoch).match(lines, start)
        if block:
            place = block.end() - 1
            found.append(block[0])
    return b"".join(found)
