"""scripts/tables.py at a terminal: what fits a line, what is folded, what is shown on demand."""

import re

import pytest

from snnbench.config import CONFIGS
from snnbench.results.rows import read_rows


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("words", [(), ("rows",), ("arlif",), ("--proved",)], ids=" ".join)
def test_a_narrow_terminal_keeps_the_names_of_the_rows_and_every_line_fits(tables, monkeypatch, width, words):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = tables(*words)
    assert code == 0
    text = "\n".join(line for line in out.splitlines() if "/outputs" not in line and "/run" not in line)
    assert max(map(len, text.splitlines())) <= width
    proved = {id for id, row in read_rows()[0].items() if row.proved}
    for path in (CONFIGS / "experiment/arlif").glob("*"):
        if words == ("--proved",) and f"arlif/{path.stem}" not in proved:
            continue
        assert re.search(rf"^  (arlif/)?{path.stem} ", text, re.MULTILINE), path.stem
    assert "…" not in out
    assert "no room" not in out


def test_every_column_is_there_on_demand(tables, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, few, _ = tables("arlif")
    assert few.splitlines()[-1] == "more columns by --wide: protocol, recipe"
    assert "[b] equal to the authors' code" not in few  # a mark that no cell has
    _, wide, _ = tables("arlif", "--wide")
    (head,) = (line for line in wide.splitlines() if line.startswith("  row"))
    assert head.split() == ["row", "reported", "protocol", "recipe", "status"]  # no run: nothing reproduced
    assert "more columns" not in wide


def test_a_very_narrow_one_breaks_names_but_loses_none_of_them(monkeypatch):
    from snnbench.results.tables.papers import Table
    from snnbench.results.tables.render import render

    monkeypatch.setenv("COLUMNS", "20")
    text = render([Table("t", ("a name", "b", "c"), [["abcdefghijklmnopqrstuvwxyz", "1.00", "more"]])], [], "text")
    assert max(map(len, text.splitlines()[1:-1])) <= 20
    cells = "".join(line[:12].strip() for line in text.splitlines()[4:])
    assert "abcdefghijklmnopqrstuvwxyz" in cells
    assert "no room for c" in text


def test_a_pipe_gets_the_whole_width_without_columns_that_say_nothing(tables, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    _, out, _ = tables("arlif")
    head = next(line for line in out.splitlines() if line.startswith("  row"))
    assert head.split() == ["row", "reported", "status"]  # no run: nothing reproduced
    assert "86.60 [a]; not stated: 87.20 [c]" in out  # of the longest cell, nothing is broken
    assert all(line == line.rstrip() for line in out.splitlines())
    _, md, _ = tables("arlif", "--format", "md")
    assert "| reproduced |" in md
