"""The command that prints a neuron's kernels: finished text for each device, and one line for a wrong word."""

from __future__ import annotations

import subprocess
import sys

import pytest

from snnbench.kernels import show
from tests.conftest import ROOT


def shown(capsys: pytest.CaptureFixture, *words: str) -> str:
    assert show.main(words) == 0
    return capsys.readouterr().out


def test_a_config_on_a_gpu_that_is_not_here() -> None:
    words = ["neuron=dalif", "T=4", "device=cuda"]
    command = [sys.executable, "-m", "snnbench.kernels.show", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = done.stdout
    forward, backward = text.index("__global__ void __launch_bounds__(256) forward("), text.index(" backward(\n")
    assert text.index("// DALIF, forward, engine=cuda, x float32 [4, 2, 8, 16, 16]") < forward < backward
    assert "// v0 is v, c0 is alpha, c1 is beta\n" in text
    assert text.count("constexpr int T = 4, ") == 2
    assert "= c1 * v0;" in text  # beta v, of the neuron's equation
    for hole in ("${", "//%", "//#"):
        assert hole not in text


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_class_and_every_word(device: str, capsys: pytest.CaptureFixture) -> None:
    words = [f"device={device}", "T=3", "dtype=bfloat16", "channels=5", "static=true", "kernel=backward"]
    text = shown(capsys, "neuron=snnbench.neurons.GLIF", *words)
    head = "// GLIF, backward, engine={}, x bfloat16 [3, 2, 5, 16, 16], the same at every timestep"
    assert head.format(device) in text
    assert "T = 3, STATES = 2" in text
    assert ("#define BFLOAT" if device == "cuda" else "typedef bfloat IO;") in text
    assert text.count("all[j] +=" if device == "cuda" else "all[k] +=") == 1  # the gradient of x, summed over time
    assert "forward(" not in text.replace("forward<", "")


def test_what_the_config_says_may_be_changed(capsys: pytest.CaptureFixture) -> None:
    before = shown(capsys, "neuron=lif", "kernel=forward")
    after = shown(capsys, "neuron=lif", "kernel=forward", "neuron.v_th=0.8125")
    assert "- K(0.8125f);" in after
    assert "K(0.8125f)" not in before


WRONG = {
    ("neuron=dalf",): "Did you mean 'dalif'?",
    ("neuron=dalif", "devise=cuda"): "Did you mean 'device'?",
    ("neuron=dalif", "device=cdua"): "Did you mean 'cuda'?",
    ("neuron=dalif", "engine=cdua"): "Did you mean 'cuda'?",
    ("neuron=dalif", "engine=cuda", "device=cpu"): "engine=cuda serves cuda",
    ("neuron=dalif", "dtype=float61"): "Did you mean 'float16'?",
    ("neuron=dalif", "T=none"): "T=none: must be a whole number",
    ("neuron=dalif", "neuron.v_tn=1"): "Did you mean 'neuron.v_th'?",
    ("neuron=dalif", "neuron.v_th=-1"): "neuron.v_th=-1: must be a number in (0, inf)",
    ("neuron=snnbench.neurons.DALFI",): "Did you mean 'DALIF'?",
    ("neuron=no_such_module.Neuron",): "No module named 'no_such_module'",
    ("neuron=torch.nn.ReLU",): "it has no step",
    ("neuron=a/b.c",): "neither a name from configs/neuron nor a class",
    ("neuron=snnbench.neurons.LIF", "neuron.v_th=2"): "changes a config",
    ("neuron=psn",): "a matrix product over time has no step",
    ("T=4",): "neuron: has no value",
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_a_wrong_word_is_one_line(words: tuple[str, ...], capsys: pytest.CaptureFixture) -> None:
    assert show.main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert WRONG[words] in captured.err
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


def test_help(capsys: pytest.CaptureFixture) -> None:
    text = shown(capsys, "--help")
    assert all(f"\n{key} " in text or f"{key}=" in text for key in show.DEFAULTS)
