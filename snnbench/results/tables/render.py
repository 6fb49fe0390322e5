"""Tables as Markdown, LaTeX, CSV, HTML, or for the terminal."""

from __future__ import annotations

import csv
import html
import io
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.cells import cell_len

from snnbench import terminal
from snnbench.results.tables.papers import Table

LATEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
}

NOTHING = {"", "-"}
GAP = 3  # blanks between columns


def render(tables: Sequence[Table], notes: Sequence[str], form: str, wide: bool = False) -> str:
    """The tables and what stands below all of them, as text of the format `form`, a key of FORMATS.

    Args:
        tables: in their order.
        notes: lines.
        form: all have every column, but for "text".
        wide: that has them, too, in lines as long as they need.
    """
    return _terminal(tables, notes, wide) if form == "text" else FORMATS[form](tables, notes)


def _markdown(tables: Iterable[Table], notes: Sequence[str]) -> str:
    parts = []
    for table in tables:
        escaped = _each(table, lambda cell: cell.replace("|", "\\|"), "**{}**")
        lines = [table.columns, ["---"] * len(table.columns), *escaped]
        cells = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        marks = [f"[{mark}] {text}" for mark, text in table.footnotes.items()]
        above = [f"## {table.title}", *([table.summary] if table.summary else [])]
        parts.append("\n\n".join([*above, cells, *marks, *_bullets(table.notes)]))
    return "\n\n".join([*parts, *_bullets(notes)]) + "\n"


def _each(table: Table, escape: Callable[[str], str], bold: str) -> list[list[str]]:
    """The cells as a format writes them, the best ones in its bold."""
    return [
        [bold.format(escape(cell)) if (n, place) in table.best else escape(cell) for place, cell in enumerate(line)]
        for n, line in enumerate(table.lines)
    ]


def _bullets(notes: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {note}" for note in notes)] if notes else []


def _latex(tables: Iterable[Table], notes: Sequence[str]) -> str:
    parts = []
    for table in tables:
        lines = [" & ".join(line) + r" \\" for line in _each(table, _tex, r"\textbf{{{}}}")]
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
                    *(f"% {note}" for note in [table.summary, *table.notes] if note),
                ]
            )
        )
    needs = [r"% needs \usepackage{booktabs}"] if parts else []
    return "\n\n".join([*needs, *parts, *(f"% {note}" for note in notes)]) + "\n"


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
        below += [f"{key}: {table.summary}"] if table.summary else []
        below += [f"{key} [{mark}] {meaning}" for mark, meaning in table.footnotes.items()] + table.notes
    return text.getvalue() + "".join(f"# {note}\n" for note in [*below, *notes])


def _html(tables: Iterable[Table], notes: Sequence[str]) -> str:
    parts = []
    for table in tables:
        head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
        escaped = _each(table, html.escape, "<b>{}</b>")
        lines = ["".join(f"<td>{cell}</td>" for cell in line) for line in escaped]
        marks = "".join(f"<p>[{mark}] {html.escape(text)}</p>\n" for mark, text in table.footnotes.items())
        body = "\n".join(f"<tr>{line}</tr>" for line in lines)
        parts.append(
            f"<h2>{html.escape(table.title)}</h2>\n{_html_summary(table)}<table>\n<tr>{head}</tr>\n{body}\n</table>\n"
            f"{marks}{_html_list(table.notes)}"
        )
    page = "\n".join(parts) + _html_list(notes)
    return f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>snnbench</title>\n{page}</html>\n'


def _html_summary(table: Table) -> str:
    return f"<p>{html.escape(table.summary)}</p>\n" if table.summary else ""


def _html_list(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(note)}</li>\n" for note in notes)
    return f"<ul>\n{items}</ul>\n" if items else ""


def _terminal(tables: Iterable[Table], notes: Sequence[str], wide: bool = False) -> str:
    width = terminal.width()
    parts = []
    hidden: list[str] = []
    for table in tables:
        places, more = _places(table, wide)
        hidden += [name for name in more if name not in hidden]
        cells, cut = _fitted(table, places, None if wide else width)
        below = [f"[{mark}] {meaning}" for mark, meaning in table.footnotes.items() if f"[{mark}]" in cells]
        below += table.notes
        if cut:
            below.append(f"no room for {', '.join(cut)}: {table.whole}")
        above = [table.title, *([table.summary] if table.summary else [])]
        parts.append("\n".join([*_wrapped(above, width), "", cells, *_wrapped(below, width), ""]))
    notes = [*notes, *([f"more columns by --wide: {', '.join(hidden)}"] if hidden else [])]
    return "\n".join([*parts, *_wrapped(notes, width)]).rstrip("\n") + "\n"


def _wrapped(lines: Iterable[str], width: int | None) -> list[str]:
    """The lines, broken between words where they are too long; what is longer itself, such as a path, stays whole."""
    if width is None:
        return list(lines)
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": "  "}
    return [part for line in lines for part in textwrap.wrap(line, max(width, 20), **options)]


def _places(table: Table, wide: bool) -> tuple[list[int], list[str]]:
    """The columns to be shown, without those that say nothing; and the names of those that --wide would add."""
    said = [n for n in range(len(table.columns)) if n == 0 or any(line[n] not in NOTHING for line in table.lines)]
    more = [] if wide else [n for n in said if table.columns[n] in table.more]
    return [n for n in said if n not in more], [table.columns[n] for n in more]


def _fitted(table: Table, places: list[int], width: int | None) -> tuple[str, list[str]]:
    """The cells of these columns as lines of at most `width` characters, and the columns left out for that.

    Cells are folded between words. Where that is not enough, the least important columns go, until the others' longest
    words have room; where even two have none, their words are broken.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    order = [table.columns.index(name) for name in table.least] or list(range(len(table.columns)))[:1:-1]
    cut = []

    def have_room() -> bool:
        return width is None or 1 + sum(_longest_word(table, n) + GAP for n in places) <= width

    for place in order:
        if have_room() or len(places) == 2:
            break
        if place in places:
            places.remove(place)
            cut.append(table.columns[place])
    shown = RichTable(box=box.SIMPLE)
    widths = _widths(table, places, width) if width is not None and have_room() else dict.fromkeys(places)
    for n in places:
        shown.add_column(table.columns[n], width=widths[n], overflow="fold")
    for line in table.lines:
        shown.add_row(*(Text(_glued(line[n])) for n in places))
    console = Console(file=io.StringIO(), width=width or terminal.WIDEST, color_system=None, emoji=False)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    lines = [line.rstrip() for line in console.file.getvalue().replace("\u00a0", " ").splitlines()]
    return "\n".join(line for line in lines if line), cut


def _glued(cell: str) -> str:
    """The cell, in which a mark stays beside what it marks, and a deviation beside its mean."""
    return re.sub(r" (?=\[\w+\]|± )|(?<=±) ", "\u00a0", cell)


def _widths(table: Table, places: Sequence[int], width: int) -> dict[int, int]:
    """Of each column: its longest word, and from left to right more as long as there is room and cells need it."""
    found = {n: _longest_word(table, n) for n in places}
    spare = width - 1 - sum(least + GAP for least in found.values())
    for n in places:
        wanted = max(cell_len(cell) for cell in (table.columns[n], *(line[n] for line in table.lines)))
        more = min(spare, max(0, wanted - found[n]))
        found[n], spare = found[n] + more, spare - more
    return found


def _longest_word(table: Table, column: int) -> int:
    """How narrow the column can be without a word broken; the name of a row is one."""
    cells = [table.columns[column], *(_glued(line[column]) for line in table.lines)]
    return max((cell_len(part) for cell in cells for part in cell.split(" ")), default=1)


FORMATS: dict[str, Callable[[Sequence[Table], Sequence[str]], str]] = {
    "text": _terminal,
    "md": _markdown,
    "latex": _latex,
    "csv": _csv,
    "html": _html,
}
