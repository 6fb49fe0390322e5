"""confusion.csv: how many test samples of each class were taken for which, written and read in one way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snnbench.files import write_text
from snnbench.runs.schema import CONFUSION, CONFUSION_COLUMNS

HEAD = ",".join(CONFUSION_COLUMNS)
Cell = tuple[int, int, int]


def write_confusion(folder: Path, counts: Sequence[Sequence[int]]) -> None:
    """Replace confusion.csv.

    Args:
        folder: of the run.
        counts: [K, K] numbers of samples, the class in rows and what it was taken for in columns; zeros are left out.
    """
    lines = [f"{c},{taken},{n}" for c, row in enumerate(counts) for taken, n in enumerate(row) if n]
    write_text(folder / CONFUSION, "\n".join([HEAD, *lines]) + "\n")


def read_confusion(text: bytes) -> list[Cell]:
    """(class, what it was taken for, number of samples) of each pair that occurred, by class.

    Raises:
        ValueError: it is not as a run writes it.
    """
    head, *lines = text.decode().splitlines() or [""]
    if head != HEAD or not text.endswith(b"\n"):
        raise ValueError("not a confusion.csv")
    cells: list[Cell] = []
    for line in lines:
        label, taken, samples = map(int, line.split(","))
        if min(label, taken) < 0 or samples < 1:
            raise ValueError("not a row of a confusion.csv")
        cells.append((label, taken, samples))
    if len({cell[:2] for cell in cells}) < len(cells):
        raise ValueError("a pair of classes twice")
    return cells
