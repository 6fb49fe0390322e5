"""docs/terminal.md: its commands run and say what the page says."""

import pytest

from scripts.tables import main as tables
from snnbench.guide.text import print_help
from tests.conftest import CONFIGS, TINY
from tests.docs.pages import sections

PAGE = sections("terminal.md")


def lines(title):
    return [pytest.param(words[1:], id=" ".join(words[1:])) for words in PAGE[title].commands]


@pytest.mark.parametrize("words", lines("Help"))
def test_the_help_is_there(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert print_help(words[1:], CONFIGS, words[0].removesuffix(".py")) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) >= 2


@pytest.mark.parametrize("words", lines("What can be run, and what was reproduced"))
def test_the_tables_are_there(words, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("SNNBENCH_OUTPUTS", str(tmp_path))
    assert words[0] == "scripts/tables.py"
    assert tables(words[1:]) == 0
    out = capsys.readouterr().out
    chosen = [word.partition("/")[0] for word in words[1:] if not word.startswith("-") and word.islower()]
    papers = [paper for paper in chosen if (CONFIGS / "experiment" / paper).is_dir()]
    assert all(paper in out for paper in papers)


def test_a_sweep_says_which_job_it_is_at(command):
    (words,) = PAGE["While it trains"].commands
    done = command("train", *words[2:], *TINY, "threads=1", "engine=reference")
    assert done.code == 0, done.err
    assert "job 3 of 4: neuron=dalif seed=0\n" in done.err
    assert "job 3/4  epoch 2/2  test " in done.err
    assert len(done.folders) == 4
