"""Pieces of a page in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}\n" if text else ""


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    return " ".join(str("" if value is None else value).split()).replace("|", "\\|")


def number(value: Any) -> str:
    """A number of a CSV file or a result, short; nothing where there is none."""
    try:
        return f"{float(value):.4g}"
    except (TypeError, ValueError):
        return ""
