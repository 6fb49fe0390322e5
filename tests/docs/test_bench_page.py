"""docs/bench.md: its commands run, and its example is what the stored comparison says."""

import json
import re

import pytest
import torch

from scripts.bench import main
from snnbench.bench import cost
from tests.conftest import ROOT
from tests.docs.pages import sections

TEXT = (ROOT / "docs" / "bench.md").read_text()
PAGE = sections("bench.md")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNNBENCH_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setenv("SNNBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(cost, "SECONDS", 0.05)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)


def run(words, capfd):
    assert words[:2] == ["snnbench", "bench"]
    code = main(words[2:])
    captured = capfd.readouterr()
    assert code == 0, captured.err
    return captured.out


@pytest.mark.parametrize("number", range(3))
def test_what_is_asked_is_planned(place, capfd, number):
    words = PAGE["Ask"].commands[number]
    more = [] if "--plan" in words else ["--plan"]
    assert "all: about " in run([*words, *more, "backbone.width=4"], capfd)


@pytest.mark.slow
def test_the_first_command_answers(place, capfd, monkeypatch):
    """From its beginning to its end, on the data that is there."""
    monkeypatch.setenv("COLUMNS", "80")
    out = run([*PAGE["Ask"].commands[0], "data.download=false", "threads=1"], capfd)
    assert re.search(r"(PLIF is|difference between PLIF|PLIF against LIF)", out)
    record = json.loads((place / "outputs" / "bench" / "tiny-plif-lif" / "bench.json").read_text())
    assert 4 <= record["verdicts"][0]["n"] <= 12
    assert all(min(one["last_epoch"]) > 60 for one in record["runs"])


def test_a_suite_of_ones_own(place, capfd):
    section = PAGE["A suite of your own"]
    section.write(place)
    (words,) = section.commands
    assert "KLIF, suite quick" in run([*words, "threads=1"], capfd)


def test_the_example_is_what_the_stored_comparison_says():
    found = json.loads((ROOT / "benchmarks" / "results" / "bench" / "tiny-plif-lif" / "bench.json").read_text())
    said = " ".join(TEXT.split())
    for verdict in found["verdicts"]:
        assert verdict["sentence"] in said
    assert found["command"] in said


def test_each_suite_is_listed():
    listed = re.findall(r"^\| (\w+) \|", TEXT.partition("## A suite")[0], re.M)
    assert {*listed} - {"suite"} == {path.stem for path in (ROOT / "configs" / "bench").glob("*.yaml")}
