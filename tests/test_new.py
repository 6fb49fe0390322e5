"""snnbench new: what it writes works as it stands, and is what docs/how-to-add.md shows."""

import os
import subprocess
import sys

import pytest

from scripts.new import main
from snnbench import commands
from snnbench.new import KINDS, class_name, new
from snnbench.registry import config_name
from tests.conftest import ROOT
from tests.docs.pages import sections

TITLES = {
    "neuron": "A neuron",
    "backbone": "A backbone",
    "dataset": "A data set of images",
    "events": "A data set of events",
}


def test_the_tests_of_every_skeleton_pass_as_they_are_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(commands.AS_TYPED, "1")
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for kind, (group, _) in KINDS.items():
        assert main([kind, f"some_{kind}"]) == 0
        said = capsys.readouterr().out
        assert f"python -m pytest test_some_{kind}.py" in said
        assert f"snnbench train {group}=some_{kind} T=2 epochs=1" in said
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "12 passed" in done.stdout
    for words in (["check", "--line-length=120", "--select=E,F,W,B"], ["format", "--check", "--line-length=120"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *words, "."], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_shows_what_is_written(kind, tmp_path):
    group, example = KINDS[kind]
    module, config, _ = new(kind, config_name(example), tmp_path)
    shown = sections("how-to-add.md")[TITLES[kind]].files
    assert {
        module.name: module.read_text(),
        f"configs/{group}/{config.name}": config.read_text(),
    }.items() <= shown.items()
    assert f"class {class_name(config_name(example))}(" in module.read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["neuro", "mine"], "neuro: there is no skeleton of it. Did you mean 'neuron'?"),
        (["neuron", "Mine"], "Mine: must be small letters, digits and single underscores, as my_neuron."),
        (["neuron", "../x"], "../x: must be small letters"),
        (["neuron", "lif"], "lif: this project has a neuron=lif."),
        (["dataset", "class"], "class: is a word of Python's"),
        (["dataset", "json"], "json: Python has a module of that name already."),
        (["backbone", "taken"], "taken.py: exists already."),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.py").write_text("")
    assert main(words) == 2
    assert says in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["taken.py"]


def test_a_checkout_is_left_alone(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["neuron", "mine"]) == 2
    assert "is a checkout of snnbench. Do this in a folder of your own" in capsys.readouterr().err
