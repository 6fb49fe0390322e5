"""What a run writes of itself: measured values that JSON can hold, what is left of a run that ended early, labels."""

import logging

import numpy as np
import pytest
import torch

from snnbench.neurons import DALIF
from snnbench.results import labels
from snnbench.results.dashboard.entries import entries
from snnbench.runs.read import read_run
from snnbench.training import measure
from snnbench.training.progress import Progress
from tests.conftest import TINY
from tests.results.made_up_runs import edit, run


@pytest.fixture
def measures(monkeypatch):
    """`measures(key, value)`: from now on, runs have this value."""
    monkeypatch.setattr(measure, "MEASURES", dict(measure.MEASURES))

    def register(key, value, **options):
        measure.measures(key, **options)(lambda module, history: value)

    return register


def test_what_is_measured_becomes_json_and_what_is_not_finite_becomes_none(measures, command, caplog):
    measures("numbers", {"tensor": torch.tensor(1.5), "numpy": np.float32(0.5), 3: (1, np.int64(2)), "flag": True})
    measures("nothing", {"here": float("nan"), "there": [torch.tensor(float("inf"))]})
    with caplog.at_level(logging.WARNING, "snnbench"):
        done = command("train", *TINY, "threads=1")
    assert done.code == 0, done.err
    assert done.result()["numbers"] == {"tensor": 1.5, "numpy": 0.5, "3": [1, 2], "flag": True}
    assert done.result()["nothing"] == {"here": None, "there": [None]}
    assert ["nothing.here is nan" in text for text in caplog.messages].count(True) == 1


def test_a_run_that_ends_early_has_what_can_be_had_of_it(measures, command, monkeypatch):
    measures("late", 1)
    measures("early", 2, early=True)

    def stop(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "on_train_batch_end", stop)
    result = command("train", *TINY, "threads=1").result()
    assert (result["status"], result["epochs"]) == ("interrupted", {"planned": 2, "run": 1})
    assert (result.get("late"), result["early"]) == (None, 2)
    assert result["accuracy"]["last_epoch"] == result["accuracy"]["best_test_epoch"]["acc"]
    assert result["seconds"]["wall"] > result["seconds"]["training"] > 0


def test_a_neuron_goes_by_the_label_of_its_class(command, monkeypatch):
    monkeypatch.setattr(DALIF, "label", "DA-LIF of old")
    done = command("train", *TINY, "threads=1", "neuron=dalif")
    assert done.result()["labels"] == {"neuron": "DA-LIF of old"}
    found = read_run(done.folder)
    assert labels.neuron_of(found) == "DA-LIF of old"
    assert entries([found], {})[0]["neuron"] == "DA-LIF of old"


def test_a_variant_of_a_neuron_is_told_from_it(command):
    done = command("train", *TINY, "threads=1", "neuron=arlif_dvs")
    assert done.result()["labels"] == {"neuron": "AR-LIF (arlif_dvs)"}


def test_a_run_without_a_label_goes_by_the_name_in_its_config(tmp_path):
    known, own = run(tmp_path, neuron="arlif"), run(tmp_path, neuron="mine")
    assert [labels.neuron_of(read_run(folder)) for folder in (known, own)] == ["AR-LIF", "mine"]
    edit(own, labels=["damaged"])
    assert labels.neuron_of(read_run(own)) == "mine"
