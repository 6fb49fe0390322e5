"""snnbench.load: rows, words, runs; what is refused."""

import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

import snnbench
from snnbench.errors import UserError
from snnbench.training import build
from snnbench.training.checkpoint import read_checkpoint
from tests.conftest import ROOT


def test_a_run_has_the_weights_of_its_checkpoint(run):
    model = snnbench.load(str(run))
    assert not model.network.training
    assert model.epoch == 1
    assert model.result["status"] == "finished"
    saved = read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    found = model.network.state_dict()
    assert found
    assert all(torch.equal(value, saved[f"network.{name}"]) for name, value in found.items())
    assert snnbench.load(run, checkpoint="best").epoch == model.result["accuracy"]["best_test_epoch"]["epoch"]


def test_the_batches_are_those_of_the_run(run):
    model = snnbench.load(run)
    batches = list(model.batches())
    with torch.no_grad():
        right = sum((model.network(x).mean(0).argmax(1) == y).sum().item() for x, y in batches)
    counted = sum(len(y) for _, y in batches)
    assert 100 * right / counted == pytest.approx(model.result["accuracy"]["last_epoch"], abs=1e-4)
    x, _ = next(model.batches("train"))
    assert x.shape == (64, 1, 8, 8)
    with pytest.raises(UserError, match=r"part='val': unknown. Allowed: train, test"):
        next(model.batches("val"))


def test_words_build_what_a_training_would_begin_with_and_leave_the_random_state_alone():
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    model = snnbench.load("neuron=dalif", "T=3", "seed=7")
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()
    ours, theirs = model.network.state_dict(), build.build_network(OmegaConf.create(model.config)).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert (model.epoch, model.result, model.folder) == (None, None, None)
    assert model.network(torch.rand(2, 1, 8, 8)).shape == (3, 2, 10)


def test_a_row_is_built_as_its_config_says_with_what_is_changed():
    model = snnbench.load("plif/fashion_mnist_plifnet_t8_lif", "T=2")
    assert model.config.row.id == "plif/fashion_mnist_plifnet_t8_lif"
    assert model.network(torch.rand(1, 1, 28, 28)).shape == (2, 1, 10)
    assert repr(model) == (
        "Model(fashion_mnist-plifnet_mnist-lif-T2: data=fashion_mnist, backbone=plifnet_mnist, neuron=lif, T=2, "
        "as initialised)"
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["plif/fashion_mnist_plifnet_t8_lfi"],
            "neither the folder of a run nor a row. Did you mean 'plif/fashion_mni",
        ),
        (["neuron=lfi"], "Did you mean 'lif'"),
        (["neuron=lif", "T=0"], "T=0: must be"),
        (["neuron=lif", "optimiser.lr=1"], "there is no such key"),
        (["neuron=lif,plif"], "several runs"),
        (["neuron=lif", "engine=cdua"], "engine='cdua': unknown"),
        (["resume=some/run"], "a run is loaded by its folder"),
        (["weights=nowhere"], "weights=nowhere: is not there"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(words, says):
    with pytest.raises(UserError) as error:
        snnbench.load(*words)
    assert says in str(error.value)


def test_it_begins_with_the_weights_that_the_words_name(run, tmp_path):
    words = ("neuron=plif", "T=2", "backbone.width=4")
    model = snnbench.load(*words, f"weights={run}", data=tmp_path / "a, b=c")
    ours, theirs = model.network.state_dict(), snnbench.load(run).network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert model.config.weights.digest
    assert model.config.paths.data == str(tmp_path / "a, b=c")


def test_of_a_run_nothing_can_be_changed_and_only_what_is_there_can_be_read(run, tmp_path):
    with pytest.raises(UserError, match="T=4: a run has its config"):
        snnbench.load(run, "T=4")
    with pytest.raises(UserError, match=r"has no checkpoint 'bst'\. Did you mean 'best'"):
        snnbench.load(run, checkpoint="bst")
    with pytest.raises(UserError, match="not the folder of a run"):
        snnbench.load(tmp_path / "nowhere")
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("width: 4", "width: 5"))
    with pytest.raises(UserError, match="is not of the network that its config describes"):
        snnbench.load(run)


def test_the_package_is_imported_without_torch():
    code = "import sys, snnbench; print('torch' in sys.modules); snnbench.load; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]
