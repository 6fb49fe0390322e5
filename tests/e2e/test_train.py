"""train.py and eval.py as a user runs them, in this process."""

import json
import os
import re
import subprocess
import sys

import lightning
import pytest
import torch
import yaml

from tests.conftest import ROOT, TINY, read_csv


def test_a_run_leaves_everything_it_should(command):
    done = command("train", *TINY, "neuron=dalif", "seed=3", "tags=[a,b]")
    assert done.code == 0, done.err
    for text in ("test accuracy, last epoch", "best test epoch", "firing rate", "samples/s", "wall time"):
        assert text in done.out
    assert str(done.folder.name) in done.out

    result = done.result()
    assert result["schema"] == 1
    assert (result["status"], result["error"]) == ("finished", None)
    assert (result["data"], result["backbone"], result["neuron"], result["T"]) == ("digits", "convnet", "dalif", 2)
    assert (result["seed"], result["tags"]) == (3, ["a", "b"])
    assert result["epochs"] == {"planned": 2, "run": 2}
    assert result["environment"]["versions"]["torch"]
    assert result["environment"]["threads"] >= 1
    assert result["parameters"]["neurons"] == 6
    assert result["samples_per_second"] > 0
    assert result["peak_memory_bytes"] > 2**20
    assert result["seconds"]["wall"] >= result["seconds"]["training"] > 0

    rows = read_csv(done.folder / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert [float(row["lr"]) for row in rows] == [5e-3, 2.5e-3]  # cosine over two epochs
    accuracy = result["accuracy"]
    assert float(rows[-1]["test/acc"]) == accuracy["last_epoch"]
    best = max(rows, key=lambda row: float(row["test/acc"]))
    assert accuracy["best_test_epoch"] == {"acc": float(best["test/acc"]), "epoch": int(best["epoch"])}
    assert accuracy["validation_chosen"] is None

    layers = read_csv(done.folder / "layers.csv")
    assert {row["quantity"] for row in layers} == {"firing_rate", "alpha", "beta"}
    assert len(layers) == 2 * 3 * 3  # epochs x layers x quantities
    assert all(0 <= float(row["value"]) <= 1 for row in layers if row["quantity"] == "firing_rate")
    assert result["layers"].keys() == {row["layer"] for row in layers}

    config = yaml.safe_load((done.folder / "config.yaml").read_text())
    assert config["paths"]["output_dir"] == str(done.folder)
    assert config["optimizer"]["lr"] == 5e-3
    assert "${" not in (done.folder / "config.yaml").read_text()
    assert {path.name for path in (done.folder / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    assert "train.log" in {path.name for path in done.folder.iterdir()}


def test_eval_reports_exactly_what_the_run_did(command):
    run = command("train", *TINY, "data.val_fraction=0.25")
    for ckpt in ("last", "best"):
        done = command("eval", f"run={run.folder}", f"ckpt={ckpt}")
        assert done.code == 0, done.err
        assert "exactly the recorded one" in done.out
        values = json.loads((run.folder / f"eval-{ckpt}.json").read_text())
        row = read_csv(run.folder / "metrics.csv")[values["epoch"]]
        assert values["measured"]["test/acc"] == float(row["test/acc"])
        assert values["measured"]["val/acc"] == float(row["val/acc"])
        assert values["firing_rate"] > 0


def test_eval_notices_weights_that_are_not_the_runs(command):
    run = command("train", "epochs=3", "T=2", "batch_size=32")
    assert run.result()["accuracy"]["last_epoch"] > 50
    path = run.folder / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    for key, value in checkpoint["state_dict"].items():
        if key in ("network.fc.weight", "network.fc.bias"):
            value.copy_(value.roll(1, 0))  # every class is taken for the next one
    torch.save(checkpoint, path)
    done = command("eval", f"run={run.folder}")
    assert done.code == 1
    assert "DIFFERS" in done.out


def test_validation_chosen_accuracy_is_the_test_accuracy_of_the_best_validation_epoch(command):
    done = command("train", *TINY, "epochs=3", "data.val_fraction=0.25")
    rows = read_csv(done.folder / "metrics.csv")
    best = max(rows, key=lambda row: float(row["val/acc"]))
    chosen = done.result()["accuracy"]["validation_chosen"]
    assert chosen == {"acc": float(best["test/acc"]), "epoch": int(best["epoch"])}


def test_the_same_seed_gives_the_same_run_and_another_seed_another(command):
    runs = [command("train", *TINY, f"seed={seed}", f"tags=[{n}]") for n, seed in enumerate((1, 1, 2))]
    folders = sorted(runs[-1].folders, key=lambda folder: folder.stat().st_ctime)
    metrics = [(folder / "metrics.csv").read_text() for folder in folders]
    seeds = [yaml.safe_load((folder / "config.yaml").read_text())["seed"] for folder in folders]
    first, second = (text for text, seed in zip(metrics, seeds, strict=True) if seed == 1)
    (other,) = (text for text, seed in zip(metrics, seeds, strict=True) if seed == 2)
    assert first == second != other


def test_part_of_a_data_set_is_marked_in_result_and_table(command):
    done = command("train", *TINY)
    assert done.result()["provenance"] != "real"
    assert "subset: not for tables" in done.out


def test_the_loss_that_explodes_names_epoch_step_and_layer(command):
    done = command("train", *TINY, "optimizer=sgd", "optimizer.lr=1e30")
    assert done.code == 1
    assert re.search(r"\bepoch 1[,:]", done.err)
    assert "parameter" in done.err or "layer" in done.err
    result = done.result()
    assert result["status"] == "failed"
    assert re.search(r"\bepoch 1[,:]", result["error"])


@pytest.mark.parametrize(
    "options",
    [
        ("trainer.accumulate_grad_batches=2",),
        ("trainer.gradient_clip_val=1.0",),
        ("loss=tet", "optimizer=lamb"),
        ("loss=rate_mse", "optimizer=adam", "schedule=constant"),
        ("loss=tet_one_hot", "augment=crop_flip", "norm=tdbn"),
        ("norm=bn_per_step", "neuron=arlif", "schedule=cosine_periodic"),
        ("engine=reference", "threads=1"),
    ],
)
def test_options_train(command, options):
    done = command("train", *TINY, *options)
    assert done.code == 0, done.err
    assert done.result()["status"] == "finished"


def test_tensorboard_is_there_by_default_and_knows_the_config(command):
    done = command("train", *[option for option in TINY if option != "logger=none"])
    assert done.code == 0, done.err
    (events,) = (done.folder / "tensorboard").glob("events.out.tfevents.*")
    assert events.stat().st_size > 500
    assert "lr: 0.005" in (done.folder / "tensorboard" / "hparams.yaml").read_text()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_accumulated_gradients_are_those_of_the_whole_batch(command, optimizer):
    """Without norms that look at a batch, and with a last group that is not full, both ways end with equal weights."""
    folders = []
    frozen = ("+callbacks.frozen={_target_: tests.e2e.test_train.Frozen}",)
    for parts in (1, 2, 4):
        options = (f"optimizer={optimizer}", "optimizer.lr=0.01", "data.limit=100", "batch_size=32", f"tags=[p{parts}]")
        options += ("engine=reference", f"trainer.accumulate_grad_batches={parts}")
        done = command("train", *TINY[:1], *TINY[2:], *options, *frozen)
        assert done.code == 0, done.err
        folders.append(next(f for f in done.folders if f"p{parts}" in (f / "config.yaml").read_text()))
    whole, *others = (torch.load(f / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for f in folders)
    for other in others:
        for key, value in whole.items():
            torch.testing.assert_close(other[key], value, rtol=1e-4, atol=1e-5, msg=key)


class Frozen(lightning.Callback):
    """Norms use their running statistics while training, so that a sample does not depend on its batch."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        for name, module in pl_module.named_modules():
            if ".norm" in name:
                module.eval()


def test_wandb_without_a_key_is_offline_and_each_job_is_its_own_run(command, monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", os.devnull)  # no key either
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    options = [option for option in TINY if option != "logger=none"]
    done = command("train", "-m", *options, "epochs=1", "logger=wandb", "seed=0,1")
    assert "logged offline" in done.err
    assert done.code == 0, done.err
    for folder in done.folders:
        assert len(list(folder.glob("wandb/offline-run-*"))) == 1


def test_two_processes_train_as_one_and_write_one_result(command, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SNNBENCH_OUTPUTS": str(tmp_path / "two")}
    shared = ("T=2", "epochs=2", "data.limit=130", "trainer.accelerator=cpu", "batch_size=16", "engine=reference")
    words = [sys.executable, "train.py", *shared, "trainer.devices=2", "trainer.strategy=ddp"]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test accuracy, last epoch") == 1
    (path,) = (tmp_path / "two").glob("*/*/result.json")
    two, one = json.loads(path.read_text()), command("train", *shared, "threads=1").result()
    assert two["status"] == "finished"
    for key in ("samples", "mac", "ann_mac"):
        assert two["energy"][key] == one["energy"][key]
    # the batch statistics differ (half a batch each), so the runs agree only roughly; both saw every test sample once
    assert two["final_loss"]["test/loss"] == pytest.approx(one["final_loss"]["test/loss"], rel=0.2)
    assert two["accuracy"]["last_epoch"] * 1.3 == pytest.approx(round(two["accuracy"]["last_epoch"] * 1.3), abs=1e-3)
