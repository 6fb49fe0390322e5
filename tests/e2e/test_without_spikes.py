"""neuron=relu through a whole run: trained, recorded, evaluated, shown, exported."""

import json

import pytest

import snnbench
from snnbench.errors import UserError
from tests.conftest import TINY, read_csv

WORDS = (*TINY, "neuron=relu", "T=1", "threads=1")


def test_a_run_has_no_firing_rate_and_no_accumulates_anywhere(command, tmp_path):
    done = command("train", *WORDS)
    assert done.code == 0, done.err
    result = done.result()
    assert (result["firing_rate"], result["layers"], result["labels"]) == (None, {}, {})
    assert result["energy"]["ac"] == 0
    assert result["energy"]["mac"] == result["energy"]["ann_mac"] > 0
    assert result["parameters"]["neurons"] == 0
    assert "spikes" not in done.out
    assert read_csv(done.folder / "layers.csv") == []

    again = command("eval", f"run={done.folder}", "energy=lemaire", "engine=reference")
    assert again.code == 0, again.err
    values = json.loads((done.folder / "eval-last.json").read_text())
    assert (values["same"], values["firing_rate"], values["layers"]) == (True, None, {})

    page = snnbench.export(done.folder, tmp_path / "exported") / "README.md"
    assert "A network without spikes: ConvNet with ReLU, trained on digits" in page.read_text()
    assert "spiking-neural-network" not in page.read_text()
    with pytest.raises(UserError, match="NIR: "):
        snnbench.export(done.folder, tmp_path / "as_nir", nir=True)


def test_more_timesteps_are_refused_before_anything_is_trained(command, tmp_path):
    done = command("train", *WORDS, "T=2")
    assert (done.code, done.folders) == (2, [])
    assert "T=2: neuron=relu has no spikes and no state, and makes one pass. Set T=1." in done.err
