"""Configs and code of one's own, found where a command is started."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT, TINY

NEURON = "name: {0}\n_target_: {1}\n_partial_: true\ntau: 2.0\nengine: ${{engine}}\n"
DATA = "defaults: ['/data/digits@_here_']\nname: halves\n"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Writes configs of one's own."""
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        path = tmp_path / "configs" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


def test_a_name_that_the_project_has_is_refused(mine, command):
    mine("neuron/lif", NEURON.format("lif", "snnbench.neurons.IF"))
    done = command("train", *TINY, "neuron=lif")
    assert done.code == 2
    assert done.err == (
        "error: neuron=lif: configs/neuron/lif.yaml would never be read, for this project has one. Rename yours.\n"
    )


def test_a_misspelt_one_is_found(mine, command):
    mine("neuron/lively", NEURON.format("lively", "snnbench.neurons.LIF"))
    assert "Did you mean 'lively'?" in command("train", *TINY, "neuron=livly").err


@pytest.mark.parametrize("where", ["configs", "elsewhere"])
def test_a_data_set_has_a_recipe_and_a_backbone_until_it_has_its_own(mine, command, tmp_path, where):
    mine("data/halves", DATA)
    if where == "elsewhere":
        (tmp_path / "configs").rename(tmp_path / "elsewhere")
    given = [f"--config-dir={where}"] if where == "elsewhere" else []
    shown = command("train", *given, "data=halves", "--cfg=job").out
    assert "\n  name: convnet\n" in shown
    assert "\nepochs: 20\n" in shown
    for name, text in (
        ("recipe/halves", "# @package _global_\ndefaults: ['/recipe/digits@_global_']\nepochs: 3\n"),
        ("backbone/default/halves", "defaults: ['/backbone/convnet@_here_']\nwidth: 5\n"),
    ):
        path = tmp_path / where / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    done = command("train", *given, "data=halves", "--cfg=job")
    shown = done.out
    assert "\n  width: 5\n" in shown, done.err
    assert "\nepochs: 3\n" in shown


def test_the_configs_of_a_checkout_are_not_ones_own(mine, command):
    mine("train", "a: 1\n")
    mine("neuron/lif", "a: 1\n")
    assert command("train", "neuron=lif", "--cfg=job").code == 0


@pytest.mark.slow
def test_modules_are_found_whichever_script_is_started(mine, tmp_path):
    mine("neuron/mine", NEURON.format("mine", "my_neuron.Mine"))
    (tmp_path / "my_neuron.py").write_text("from snnbench.neurons import LIF\n\n\nclass Mine(LIF):\n    pass\n")
    words = [sys.executable, ROOT / "train.py", "-m", "--plan", "neuron=mine", *TINY]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "start" in done.stdout
