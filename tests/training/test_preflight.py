"""What is found in neurons of one's own before a run has a folder."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from snnbench.errors import UserError
from snnbench.training import build, longer, preflight

NEURON = """
import torch
from snnbench.neurons.base import SpikingNeuron


class Own(SpikingNeuron):
    def __init__(self, rate=0.5, **options):
        super().__init__(**options)
        self.keep = torch.nn.Parameter(torch.tensor(rate))
        self.steps = 0

    def coefficients(self):
        return {"keep": self.keep}

    def step(self, x, state, c, spike):
        self.steps += 1
        h = state["v"] * c["keep"] + x
        {LINE}
        return spike(h - self.v_th), {"v": h}
"""
LINES = {
    "h = h * c['kepe']": r"^Own.step reads 'kepe', .* keep. Did you mean 'keep'\? \(.*own_case.py:18\)$",
    "h = h + state['w']": r"^Own.step reads 'w', which is not in its states: v. \(.*own_case.py:18\)$",
    "h = h * self.vth": r"^neuron: Own: .*'vth'. Did you mean 'v_th'\? \(.*own_case.py:18\)$",
    "h = h * gain": r"^neuron: Own: name 'gain' is not defined. \(.*own_case.py:18\)$",
}


def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> type:
    (tmp_path / "own_case.py").write_text(NEURON.replace("{LINE}", line))
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("own_case", None)
    found: type = importlib.import_module("own_case").Own
    return found


@pytest.mark.parametrize("line", LINES)
def test_a_misspelt_name_is_found_with_its_line(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(own(tmp_path, monkeypatch, line)())
    with pytest.raises(UserError, match=LINES[line]):
        preflight.try_steps(network)


@pytest.mark.parametrize("line", ["pass", "assert x.shape[-1] > 3", "h = h.view(3, 5, 7)", "h = h + torch.rand(())"])
def test_a_step_that_is_right_is_left_as_it_was(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that does not take so small an input."""
    neuron = own(tmp_path, monkeypatch, line)()
    torch.manual_seed(1)
    preflight.try_steps(nn.Sequential(neuron))
    after = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), after)
    assert neuron.steps == 0
    assert neuron.engine == "auto"


def test_an_option_that_a_neuron_does_not_take_is_the_neurons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(tmp_path, monkeypatch, "pass")
    backbone = {"_target_": "snnbench.backbones.ConvNet", "T": 2, "in_channels": 1, "num_classes": 3, "image_size": 8}
    parts = {
        "neuron": {"_target_": "own_case.Own", "_partial_": True, "rte": 0.5},
        "backbone": backbone,
        "norm": {"_target_": "snnbench.backbones.norms.BatchNorm", "_partial_": True},
    }
    cfg = OmegaConf.create({"seed": 0, "engine": "auto", **parts})
    with pytest.raises(UserError, match=r"^neuron: .*unexpected keyword argument 'rte'. Did you mean 'rate'"):
        build.build_network(cfg)
    del cfg.neuron.rte
    assert isinstance(build.build_network(cfg), nn.Module)


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"_target_": "snnbench.training.optim.ConstantSchedule", "_partial_": False}, ["epochs=8"]),
        (
            {"_target_": "snnbench.training.optim.CosineSchedule", "epochs": 4},
            ["epochs=8", "schedule.epochs=8"],
        ),
    ],
)
def test_more_epochs_are_suggested_as_they_are_taken(schedule: dict[str, object], words: list[str]) -> None:
    run = OmegaConf.create({"epochs": 4, "optimizer": {"lr": 0.1}, "schedule": {"name": "any", **schedule}})
    assert longer.words(run, 8) == words
