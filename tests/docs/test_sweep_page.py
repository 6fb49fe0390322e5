"""docs/sweep-and-compare.md: its commands, with a smaller network."""

import pytest

from scripts import compare, figures
from snnbench.guide.text import print_help
from tests.conftest import CONFIGS, TINY
from tests.docs.pages import sections

PAGE = sections("sweep-and-compare.md")
SCRIPTS = {"scripts/compare.py": compare, "scripts/figures.py": figures}
SMALL = [word for word in TINY if not word.startswith("T=")] + ["threads=1", "engine=reference"]


def run(words, command, capfd):
    """Exit code and all that a line of the page prints."""
    if words[1] in SCRIPTS:
        capfd.readouterr()
        code = SCRIPTS[words[1]].main(words[2:])
        return code, capfd.readouterr().out
    done = command("train", *words[2:], *SMALL)
    return done.code, done.out + done.err


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_neurons_are_compared(command, capfd, place):
    plan, train, shown = PAGE["Several neurons, several seeds"].commands
    assert run(plan, command, capfd)[1].count("start: neuron=") == 9
    assert run(train, command, capfd)[0] == 0
    assert run(plan, command, capfd)[1].count("] done: ") == 9
    code, out = run([*shown, "--any-data"], command, capfd)
    assert code == 0
    assert all(name in out for name in ("LIF", "PLIF", "DA-LIF", "±"))


def test_timesteps_and_a_parameter_are_swept(command, capfd, place):
    over_T, parameter, shown, drawn = PAGE["Over T, over a parameter"].commands
    assert run(over_T, command, capfd)[0] == 0
    assert run(parameter, command, capfd)[0] == 0
    code, out = run([*shown, "--any-data"], command, capfd)
    assert code == 0
    assert r"\textbf" in out
    assert r"DA-LIF (alpha\_init 0.5)" in out
    assert run([*drawn, "--any-data"], command, capfd)[0] == 0


def test_sweeps_have_names(command, capfd):
    narrow, help = PAGE["Sweeps that have a name"].commands
    assert run(narrow, command, capfd)[1].count("] start: ") == 7
    assert print_help(help[3:], CONFIGS, "train") == 0
    assert "comparison" in capfd.readouterr().out
