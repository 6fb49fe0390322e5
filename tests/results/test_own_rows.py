"""Rows of one's own, in `./configs`, stand beside the project's in tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from snnbench.errors import UserError
from snnbench.results.rows import read_registry, read_rows
from tests.conftest import CONFIGS

ROW = """# @package _global_
# Spots, Table 1: digits, ConvNet, T=2. Reported: 98.5 % (last epoch; paper). Hours: a minute on two cores.
defaults:
  - override /data: digits
T: 2
row:
  id: spots/digits_convnet_t2
  paper: spots
  table: 1
  reported: {acc: 98.5, protocol: last_epoch, source: paper}
  tolerance: 1.0
  recipe: inferred
  proof: null
  parameters: null
"""
ENTRY = "  spots: {title: Spots!, arxiv: null, year: 2026, repository: null}\n"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs/experiment/spots").mkdir(parents=True)
    (tmp_path / "configs/experiment/spots/digits_convnet_t2.yaml").write_text(ROW)
    return tmp_path / "configs"


@pytest.mark.parametrize(
    ("text", "title"), [(None, "spots"), (ENTRY, "Spots!"), (f"papers:\n{ENTRY}", "Spots!"), ("{}", "spots")]
)
def test_they_stand_beside_the_projects(mine: Path, text: str | None, title: str) -> None:
    if text is not None:
        (mine / "papers.yaml").write_text(text)
    rows, problems = read_rows()
    assert problems == []
    assert rows["spots/digits_convnet_t2"].acc == 98.5
    assert read_registry().papers["spots"]["title"] == title
    theirs = read_rows(mine.parent / "elsewhere")[0]
    assert theirs == {}
    assert set(rows) - {"spots/digits_convnet_t2"} == {
        f"{path.parent.name}/{path.stem}" for path in (CONFIGS / "experiment").glob("*/*.yaml")
    }


def test_they_replace_none(mine: Path) -> None:
    known = read_rows(CONFIGS)[0]["clif/cifar10_resnet18_t4"]
    (mine / "experiment/spots/other.yaml").write_text(ROW.replace("spots/digits_convnet_t2", known.id))
    (mine / "papers.yaml").write_text("papers: {clif: {title: mine}}")
    assert read_rows()[0][known.id].acc == known.acc
    assert read_registry().papers["clif"]["title"] != "mine"


@pytest.mark.parametrize("text", ["a: [", "- spots", "papers: 3", "papers: {spots: 3}"])
def test_papers_that_are_none_are_named(mine: Path, text: str) -> None:
    (mine / "papers.yaml").write_text(text)
    with pytest.raises(UserError, match=r"papers.yaml: not papers"):
        read_registry()


def test_a_row_that_is_none_is_named(mine: Path) -> None:
    (mine / "experiment/spots/bad.yaml").write_text("T: 2")
    rows, problems = read_rows()
    assert len(problems) == 1
    assert "bad.yaml: not a row" in problems[0]
    assert "spots/digits_convnet_t2" in rows
