"""debug=...: short runs that look for faults, and never count."""

import pytest

from snnbench.runs.provenance import parts_of
from snnbench.runs.recipe import recipe_hash
from snnbench.sweep import resolved
from tests.conftest import read_csv
from tests.test_configs import compose, options

SMALL = ("threads=1", "logger=none", "backbone.width=4", "T=2", "neuron=lif")


def test_a_fast_run_goes_through_everything(command):
    done = command("train", "debug=fast", *SMALL)
    assert done.code == 0, done.err
    assert (done.result()["provenance"], done.result()["status"]) == ("subset", "finished")
    assert "debug=fast" in done.result()["doubt"]
    assert command("eval", f"run={done.folder}", "ckpt=last").code == 0


@pytest.mark.slow
def test_a_few_samples_are_learnt_by_heart(command):
    done = command("train", "debug=overfit", *SMALL[:2], "T=2", "neuron=lif")
    assert done.code == 0, done.err
    last = read_csv(done.folder / "metrics.csv")[-1]
    assert float(last["train/acc"]) == 100
    assert float(last["train/loss"]) < 0.2


def test_a_profile_names_operations(command):
    done = command("train", "debug=profile", *SMALL)
    assert done.code == 0, done.err
    text = (done.folder / "fit-profile.txt").read_text()
    assert "run_training_batch" in text
    assert "CPU total" in text
    assert list(done.folder.glob("*.trace.json"))


@pytest.mark.parametrize("name", options("debug"))
def test_it_never_counts_even_where_its_limits_are_undone(name):
    row = "experiment=arlif/cifar10_resnet18_t4"
    whole = ("data.limit=null", "trainer.limit_train_batches=1.0", "trainer.limit_val_batches=1.0", "epochs=300")
    config = resolved(compose(row, f"debug={name}", *whole))
    assert f"debug={name}" in parts_of(config)  # not the real data, then
    assert recipe_hash(config) != recipe_hash(resolved(compose(row)))
    assert parts_of(resolved(compose(row))) == ""
