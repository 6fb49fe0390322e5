"""An exported run: the same network, a card whose numbers are the run's, and nothing that could be executed."""

import json
import pickle
import subprocess
import sys

import pytest
import torch
import yaml

import snnbench
from scripts.export import main as export
from snnbench.errors import UserError
from snnbench.models.card import card
from snnbench.models.model import Model
from snnbench.official import curve_of
from snnbench.runs.read import read_run
from tests.conftest import ROOT
from tests.results import made_up_runs

ROW = "plif/fashion_mnist_plifnet_t8_lif"


@pytest.fixture
def exported(run, tmp_path):
    return snnbench.export(run, tmp_path / "exported")


def head_of(text):
    """What model hubs read of a card."""
    return yaml.safe_load(text.split("---\n")[1])


def test_it_is_the_same_network_wherever_it_lies(run, exported, tmp_path, monkeypatch):
    here = exported.rename(tmp_path / "elsewhere")
    before, after = snnbench.load(run), snnbench.load(here)
    images, _ = next(before.batches())
    assert torch.equal(after.network(images), before.network(images))
    assert (after.epoch, after.result) == (before.epoch, before.result)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SNNBENCH_DATA")
    moved = snnbench.load("elsewhere")
    assert moved.data.source.root == tmp_path / "data"
    assert snnbench.load("elsewhere", data=tmp_path / "given").data.source.root == tmp_path / "given"


def test_no_file_but_the_record_of_the_start_tells_of_this_machines_folders(exported, tmp_path):
    for name in ("config.yaml", "metrics.csv", "layers.csv"):
        assert str(tmp_path) not in (exported / name).read_text(), name
    assert str(tmp_path).encode() not in (exported / "model.safetensors").read_bytes()


def test_the_card_has_the_runs_numbers(run, exported):
    text, result = (exported / "README.md").read_text(), json.loads((run / "result.json").read_text())
    head = head_of(text)
    (measured, _) = head["model-index"][0]["results"][0]["metrics"]
    assert measured["value"] == pytest.approx(result["accuracy"]["last_epoch"], abs=1e-3)
    assert head["datasets"] == ["digits"]
    assert f"| test accuracy, last epoch | {result['accuracy']['last_epoch']:.2f} % |" in text
    assert "Not for comparison with others: not the real data: subset" in text
    assert "| PLIF " not in text.split("## Spikes")[0]
    assert "PLIF neurons and T = 2" in text
    rates = [layer["firing_rate"] for layer in result["layers"].values()]
    assert all(f"| {rate:.4g} |" in text for rate in rates)
    assert f"{result['energy']['ac']:,.0f}" in text
    assert read_run(run).recipe in text
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert titles == ["Use", "Numbers", "Recipe", "Curve", "Spikes", "Energy", "Where it comes from"]


@pytest.mark.parametrize("epochs", [None, 3])
def test_of_a_row_it_says_what_is_reported_and_proved_beside_the_authors_curve(tmp_path, epochs):
    folder = made_up_runs.of_row(tmp_path, ROW, [50.0, 60.0, 70.0], epochs=epochs)
    run, curve = read_run(folder), curve_of(ROW)
    text = card(run, Model(torch.nn.Identity(), None, folder, run.result, 2), "last")
    assert "| reported | 94.17 % (best test epoch;" in text
    assert "| this run | 70.00 % (best test epoch) |" in text
    assert "| difference | -24.17 percentage points, one seed |" in text
    assert "| proof | Compared in a row of the same parts: network, loss, gradients" in text
    counts = "| counts for the row | " + ("no: 3 of the row's 1024 epochs |" if epochs else "yes |")
    assert counts in text
    assert f"The authors' curve: {curve.source}." in text


def test_the_command_writes_it_once(run, tmp_path, capfd):
    assert export([str(run), str(tmp_path / "out"), "--checkpoint", "best"]) == 0
    assert "model.safetensors" in capfd.readouterr().out
    assert "weights of its best checkpoint" in (tmp_path / "out" / "README.md").read_text()
    assert export([str(run), str(tmp_path / "out")]) == 2
    assert "exists already" in capfd.readouterr().err
    assert export([str(tmp_path / "out"), str(tmp_path / "again")]) == 2
    assert "was exported already" in capfd.readouterr().err
    assert export([str(tmp_path / "nothing"), str(tmp_path / "again")]) == 2
    assert not (tmp_path / "again").exists()


def test_code_that_is_not_this_projects_is_built_only_if_it_is_trusted(exported, tmp_path, monkeypatch):
    (tmp_path / "my_neuron.py").write_text("from snnbench.neurons import PLIF\n\n\nclass Mine(PLIF):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    text = (exported / "config.yaml").read_text()
    (exported / "config.yaml").write_text(text.replace("snnbench.neurons.PLIF", "my_neuron.Mine"))
    with pytest.raises(UserError, match=r"its neuron is made by my_neuron\.Mine, which is not of this project"):
        snnbench.load(exported)
    assert "my_neuron" not in sys.modules
    assert type(next(iter(snnbench.load(exported, trusted=True).layers.values()))).__name__ == "Mine"


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.hub.load",
        "snnbench.neurons.base.nn.Linear",
        "snnbench.backbones.layers.torch.load",
        "snnbench.files.write_text",
    ],
)
@pytest.mark.parametrize("group", ["neuron", "backbone", "norm", "data"])
def test_no_path_leads_to_other_code(exported, target, group):
    config = yaml.safe_load((exported / "config.yaml").read_text())
    config[group]["_target_"] = target
    (exported / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match=f"its {group} is made by {target}"):
        snnbench.load(exported)


def test_no_path_leads_to_files_beside_the_config_which_may_be_pickles(exported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    trap = exported / "cifar-10-batches-py"
    trap.mkdir()
    config = yaml.safe_load((exported / "config.yaml").read_text())
    config["data"] |= {"root": f"data/../{exported.name}", "verify": False}
    config["data"]["source"]["_target_"] = "snnbench.data.images.sources.CIFAR10"
    (exported / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match=r"its data\.root=.* does not lie in"):
        snnbench.load(exported)


def test_a_cache_of_its_own_stays_on_this_machine(run, tmp_path):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["root"] = config["data"]["cache"] = "/scratch/somebody"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    found = yaml.safe_load((snnbench.export(run, tmp_path / "out") / "config.yaml").read_text())
    assert (found["data"]["root"], found["data"]["cache"]) == ("data", "data/packed")


def test_a_config_that_lacks_a_part_is_refused(exported):
    config = yaml.safe_load((exported / "config.yaml").read_text())
    del config["norm"]
    (exported / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match="its config has no norm"):
        snnbench.load(exported)


def test_weights_are_numbers_or_refused(exported, tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("trapped").touch, ())

    whole = (exported / "model.safetensors").read_bytes()
    for data in (pickle.dumps(Trap()), whole[: len(whole) // 2], b""):
        (exported / "model.safetensors").write_bytes(data)
        with pytest.raises(UserError, match="damaged, or not exported by snnbench"):
            snnbench.load(exported)
    assert not (tmp_path / "trapped").exists()


def test_the_script_is_a_command_of_its_own():
    done = subprocess.run(
        [sys.executable, "-m", "snnbench", "export", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.startswith("usage: snnbench export")
