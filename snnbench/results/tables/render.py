"""Tables as Markdown, LaTeX, CSV, HTML, or for the terminal."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Iterable, Sequence

from snnbench.results.tables.papers import Table

LATEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
}


def render(tables: Sequence[Table], notes: Sequence[str], form: str) -> str:
    """The tables and what stands below all of them, as text of the format `form`, a key of FORMATS."""
    return FORMATS[form](tables, notes)


def _markdown(tables: Iterable[Table], notes: Sequence[str]) -> str:
    parts = []
    for table in tables:
        lines = [table.columns, ["---"] * len(table.columns), *table.lines]
        cells = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        marks = [f"[{mark}] {text}" for mark, text in table.footnotes.items()]
        parts.append("\n\n".join([f"## {table.title}", cells, *marks, *_bullets(table.notes)]))
    return "\n\n".join([*parts, *_bullets(notes)]) + "\n"


def _bullets(notes: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {note}" for note in notes)] if notes else []


def _latex(tables: Iterable[Table], notes: Sequence[str]) -> str:
    parts = []
    for table in tables:
        lines = [" & ".join(map(_tex, line)) + r" \\" for line in table.lines]
        body = "\n".join([" & ".join(map(_tex, table.columns)) + r" \\ \midrule", *lines])
        below = [rf"\par [{mark}] {_tex(text)}" for mark, text in table.footnotes.items()]
        parts.append(
            "\n".join(
                [
                    r"\begin{table}",
                    rf"\caption{{{_tex(table.title)}}}",
                    rf"\begin{{tabular}}{{{'l' * len(table.columns)}}} \toprule",
                    body,
                    r"\bottomrule \end{tabular}",
                    *below,
                    r"\end{table}",
                    *(f"% {note}" for note in table.notes),
                ]
            )
        )
    return "\n\n".join([*parts, *(f"% {note}" for note in notes)]) + "\n"


def _tex(text: str) -> str:
    return "".join(LATEX.get(char, char) for char in text)


def _csv(tables: Iterable[Table], notes: Sequence[str]) -> str:
    """One block of lines for each table, its title in the first column; notes are comments."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    below: list[str] = []
    previous: tuple[str, ...] = ()
    for table in tables:
        if table.columns != previous:
            writer.writerow(["table", *table.columns])
            previous = table.columns
        key = table.title.partition(":")[0]
        writer.writerows([key, *line] for line in table.lines)
        below += [f"{key} [{mark}] {meaning}" for mark, meaning in table.footnotes.items()] + table.notes
    return text.getvalue() + "".join(f"# {note}\n" for note in [*below, *notes])


def _html(tables: Iterable[Table], notes: Sequence[str]) -> str:
    parts = []
    for table in tables:
        head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
        lines = ["".join(f"<td>{html.escape(cell)}</td>" for cell in line) for line in table.lines]
        marks = "".join(f"<p>[{mark}] {html.escape(text)}</p>\n" for mark, text in table.footnotes.items())
        body = "\n".join(f"<tr>{line}</tr>" for line in lines)
        parts.append(
            f"<h2>{html.escape(table.title)}</h2>\n<table>\n<tr>{head}</tr>\n{body}\n</table>\n"
            f"{marks}{_html_list(table.notes)}"
        )
    page = "\n".join(parts) + _html_list(notes)
    return f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>snnbench</title>\n{page}</html>\n'


def _html_list(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(note)}</li>\n" for note in notes)
    return f"<ul>\n{items}</ul>\n" if items else ""


def _terminal(tables: Iterable[Table], notes: Sequence[str]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(file=io.StringIO(), width=None if _is_terminal() else 200)
    for table in tables:
        shown = RichTable(title=Text(table.title), title_justify="left", box=box.SIMPLE)
        for column in table.columns:
            shown.add_column(column)
        for line in table.lines:
            shown.add_row(*map(Text, line))
        console.print(shown)
        for text in [*(f"[{mark}] {meaning}" for mark, meaning in table.footnotes.items()), *table.notes]:
            console.print(Text(text), soft_wrap=True)
    for note in notes:
        console.print(Text(note), soft_wrap=True)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _is_terminal() -> bool:
    import sys

    return sys.stdout.isatty()


FORMATS: dict[str, Callable[[Sequence[Table], Sequence[str]], str]] = {
    "text": _terminal,
    "md": _markdown,
    "latex": _latex,
    "csv": _csv,
    "html": _html,
}
