"""resume=... epochs=...: more epochs for a run that is there."""

import shutil

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from snnbench.errors import UserError
from snnbench.runs.recipe import recipe_hash
from snnbench.training import longer
from tests.conftest import TINY, read_csv
from tests.e2e.test_resume import checkpoint, start
from tests.lab import Stop, stopped_by

WORDS = (*TINY, "threads=1", "neuron=plif")


def trained(tmp_path_factory, *words: str):
    outputs = tmp_path_factory.mktemp("run")
    assert start(outputs, *WORDS, *words).wait(120) == 0
    (folder,) = outputs.glob("*/*")
    return folder


@pytest.fixture(scope="module")
def cosine(tmp_path_factory):
    return trained(tmp_path_factory)


@pytest.fixture
def run(cosine, tmp_path):
    """A finished run of two epochs."""
    return shutil.copytree(cosine, tmp_path / "run")


def config(folder) -> dict:
    return yaml.safe_load((folder / "config.yaml").read_text())


def rates(folder) -> list[float]:
    return [float(row["lr"]) for row in read_csv(folder / "metrics.csv")]


def test_at_a_constant_rate_it_becomes_the_run_that_had_so_many_epochs_but_says_how(command, tmp_path):
    words = (*WORDS, "schedule=constant", f"paths.output_dir={tmp_path}")
    assert command("train", *words[:-1], f"{words[-1]}/short").code == 0
    assert command("train", *words[:-1], f"{words[-1]}/long", "epochs=4").code == 0
    done = command("train", f"resume={tmp_path}/short", "epochs=4")
    assert done.code == 0, done.err
    for key, value in checkpoint(tmp_path / "long")["state_dict"].items():
        assert torch.equal(value, checkpoint(tmp_path / "short")["state_dict"][key]), key
    for name in ("metrics.csv", "layers.csv"):
        assert (tmp_path / "short" / name).read_text() == (tmp_path / "long" / name).read_text()
    short, long = config(tmp_path / "short"), config(tmp_path / "long")
    assert short["extended"] == [{"at": 2, "epochs": 2, "schedule": None}]
    assert recipe_hash(short) != recipe_hash(long)
    assert command("eval", f"run={tmp_path}/short", "ckpt=last").code == 0


def test_a_schedule_that_ends_at_nothing_has_to_be_stretched(command, run):
    refused = command("train", f"resume={run}", "epochs=4")
    assert refused.code == 2
    assert "learning rate of 0" in refused.err
    assert "schedule.epochs=4" in refused.err
    assert config(run)["epochs"] == 2
    done = command("train", f"resume={run}", "epochs=4", "schedule.epochs=4")
    assert done.code == 0, done.err
    assert rates(run) == pytest.approx([0.005, 0.0025, 0.0025, 0.005 * (1 - 0.5**0.5) / 2])
    assert command("eval", f"run={run}", "ckpt=last").code == 0


@pytest.mark.slow
def test_a_schedule_with_a_floor_goes_on_at_it(command, tmp_path_factory):
    run = trained(tmp_path_factory, "schedule.min_lr=0.001")
    done = command("train", f"resume={run}", "epochs=4")
    assert done.code == 0, done.err
    assert "0.001 in the last one" in done.err
    assert rates(run) == pytest.approx([0.005, 0.003, 0.001, 0.001])
    again = command("train", f"resume={run}", "epochs=5")
    assert again.code == 0, again.err
    assert [step["at"] for step in config(run)["extended"]] == [2, 4]


@pytest.mark.parametrize("epoch", [2, 3])
def test_it_goes_on_after_an_interruption_in_the_new_epochs(command, run, tmp_path, epoch):
    shutil.copytree(run, tmp_path / "whole")
    more = ("epochs=4", "schedule.epochs=4")
    assert command("train", f"resume={tmp_path}/whole", *more).code == 0
    with stopped_by(Stop(epoch, interrupt=True)):
        assert command("train", f"resume={run}", *more).code == 130
    done = command("train", f"resume={run}")
    assert done.code == 0, done.err
    assert (run / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()
    assert config(run)["extended"] == [{"at": 2, "epochs": 2, "schedule": 2}]


@pytest.mark.parametrize(
    ("words", "needles"),
    [
        ([], ["is finished", "python train.py epochs=4 schedule.epochs=4 resume="]),
        (["epochs=2"], ["has 2 of 2 epochs"]),
        (["epochs=1"], ["has 2 of 2 epochs"]),
        (["epochs=-1"], ["epochs=-1", "whole number"]),
        (["schedule.epochs=4"], ["goes with epochs=..."]),
        (["epochs=4", "T=3"], ["leave out T=3"]),
        (["epochs=4", "schedule.epochs=3", "seed=1"], ["leave out seed=1"]),
    ],
)
def test_what_is_no_more_epochs_is_refused_and_changes_nothing(command, run, words, needles):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    done = command("train", f"resume={run}", *words)
    assert done.code == 2
    for needle in needles:
        assert needle in done.err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


STOPPED = ("data.val_fraction=0.2", "callbacks=early_stopping", "callbacks.early_stopping.patience=1")


def test_a_run_that_a_callback_ended_goes_on_with_more_epochs_only(command, tmp_path_factory):
    run = trained(tmp_path_factory, *STOPPED, "callbacks.early_stopping.min_delta=200", "epochs=4")
    before = (run / "metrics.csv").read_bytes()
    assert len(before.splitlines()) == 3
    done = command("train", f"resume={run}", "epochs=4")
    assert done.code == 2
    assert "a callback ended it after 2 of 4 epochs" in done.err
    assert (run / "metrics.csv").read_bytes() == before


def test_a_schedule_that_began_in_its_midst_is_stretched_from_there(run):
    cfg = OmegaConf.load(run / "config.yaml")
    cfg.schedule.update({"start": 3, "epochs": 5})
    with pytest.raises(UserError, match=r"goes on at 0\.000941: .*schedule\.epochs=7"):
        longer.extend(cfg, {"epochs": "4"}, 2, "run")
    assert longer.extend(cfg, {"epochs": "4", "schedule.epochs": "7"}, 2, "run")


def test_the_same_schedule_again_is_no_other_one(run):
    cfg = OmegaConf.load(run / "config.yaml")
    more = {"epochs": "4", "schedule.epochs": "4"}
    assert longer.extend(cfg, more, 2, "run")
    before = cfg.copy()
    assert not longer.extend(cfg, more, 3, "run")
    assert cfg == before
