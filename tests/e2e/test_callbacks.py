"""Callbacks that a config adds: what they do to a run, that it resumes, and what they are to its recipe."""

import pytest
import torch

from snnbench.runs.recipe import recipe_hash
from snnbench.sweep import resolved
from tests.conftest import TINY, read_csv
from tests.e2e.test_resume import assert_same_run, checkpoint, start
from tests.lab import Stop, stopped_by
from tests.test_configs import compose, options

WORDS = (*TINY, "epochs=4", "threads=1", "neuron=plif", "optimizer.lr=0.02")
STOPPING = ("callbacks=early_stopping", "data.val_fraction=0.1", "callbacks.early_stopping.patience=3")
AVERAGES = {"ema": "callbacks.ema.decay=0.5", "swa": "callbacks.swa.start=0.25"}


def curve(folder) -> list[str]:
    return [row["test/loss"] for row in read_csv(folder / "metrics.csv")]


def test_early_stopping_ends_between_epochs_and_counts_as_stopped_early(command):
    done = command(
        "train", *WORDS, *STOPPING[:2], "callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=100"
    )
    assert done.code == 0, done.err
    assert done.result()["epochs"] == {"planned": 4, "run": 2}
    assert command("eval", f"run={done.folder}", "ckpt=last").code == 0


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The folder of the run without an average."""
    outputs = tmp_path_factory.mktemp("plain")
    process = start(outputs, *WORDS)
    assert process.wait(120) == 0
    (folder,) = outputs.glob("*/*")
    return folder


@pytest.mark.parametrize("name", AVERAGES)
def test_averaged_weights_are_evaluated_and_stored_and_training_goes_on_as_without(command, plain, name):
    done = command("train", *WORDS, f"callbacks={name}", AVERAGES[name])
    assert done.code == 0, done.err
    ours, theirs = curve(done.folder), curve(plain)
    begins = {"ema": 0, "swa": 2}[name]  # the first epoch whose weights are not the mean alone
    assert ours[:begins] == theirs[:begins]
    assert all(ours[epoch] != theirs[epoch] for epoch in range(begins, 4))
    assert command("eval", f"run={done.folder}", "ckpt=last").code == 0
    averaged, last = (
        checkpoint(done.folder)[key]["network.fc.weight"] for key in ("state_dict", "current_model_state")
    )
    assert not torch.equal(averaged, last)
    assert torch.equal(last, checkpoint(plain)["state_dict"]["network.fc.weight"])


@pytest.mark.parametrize("name", AVERAGES)
def test_what_follows_the_epoch_is_that_of_the_epoch_and_no_mean(command, name):
    words = [word for word in WORDS if not word.startswith("neuron=")]
    done = command("train", *words, "neuron=masked_psn", f"callbacks={name}", AVERAGES[name])
    assert done.code == 0, done.err
    state = checkpoint(done.folder)["state_dict"]
    masks = [value for key, value in state.items() if key.endswith(".progress")]
    assert masks
    assert all(mask == 1 for mask in masks)
    assert command("eval", f"run={done.folder}", "ckpt=last").code == 0


def test_the_mean_of_the_last_epochs_is_their_mean(command):
    words = (*WORDS, "callbacks=swa", "callbacks.swa.start=0.25")
    done = command("train", *words, "callbacks.best.save_top_k=-1", "callbacks.best.filename='{epoch}'")
    assert done.code == 0, done.err
    each = [checkpoint(done.folder, f"epoch={epoch}")["current_model_state"] for epoch in (1, 2, 3)]
    for key, value in checkpoint(done.folder)["state_dict"].items():
        if value.is_floating_point():
            torch.testing.assert_close(value, torch.stack([one[key] for one in each]).mean(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [*((f"callbacks={name}", AVERAGES[name]) for name in AVERAGES), STOPPING])
def test_a_run_that_was_interrupted_goes_on_as_if_it_was_not(command, tmp_path, options):
    whole = command("train", *WORDS, *options, f"paths.output_dir={tmp_path}/whole")
    assert whole.code == 0, whole.err
    with stopped_by(Stop(2, interrupt=True)):
        assert command("train", *WORDS, *options, f"paths.output_dir={tmp_path}/cut").code == 130
    assert command("train", f"resume={tmp_path}/cut").code == 0
    assert_same_run(tmp_path / "cut", tmp_path / "whole")


def test_what_changes_numbers_is_another_recipe_and_what_looks_on_is_not():
    recipes = {name: recipe_hash(resolved(compose(f"callbacks={name}"))) for name in options("callbacks")}
    assert recipes["default"] == recipes["none"] == recipes["lr_monitor"]
    assert len(set(recipes.values())) == 4  # with early_stopping, ema and swa
    both = recipe_hash(resolved(compose("callbacks=[early_stopping,ema]")))
    assert both not in recipes.values()


@pytest.mark.parametrize(
    ("words", "needles"),
    [
        (["callbacks=early_stopping"], ["monitor=val/acc", "data.val_fraction=0.1"]),
        (["-m", "callbacks=early_stopping", "seed=0,1"], ["monitor=val/acc", "no job was started"]),
        (["callbacks=[ema,swa]"], ["callbacks=ema,swa", "only one"]),
        (["callbacks=[ema,emma]"], ["callbacks=[ema,emma]", "Did you mean 'ema'"]),
        (["callbacks=[ema,3]"], ["callbacks=[ema,3]", "must be the name"]),
        (["neuron=[lif]"], ["neuron=[lif]", "must be the name"]),
        (["callbacks=lr_monitor", "logger=none"], ["LearningRateMonitor", "logger=..."]),
        (["callbacks=swa", "callbacks.swa.start=1"], ["SWA.start=1"]),
        (["callbacks=ema", "callbacks.ema.update_every_n_steps=0"], ["callbacks.ema.update_every_n_steps=0"]),
        ([*STOPPING[:2], "callbacks.early_stopping.patience=-1"], ["callbacks.early_stopping.patience=-1"]),
        (["callbacks=ema", "+callbacks.ema.update_starting_at_epoch=1"], ["update_starting_at_epoch"]),
        (
            ["+callbacks.x={_target_:lightning.pytorch.callbacks.StochasticWeightAveraging,swa_lrs:0.1}"],
            ["callbacks.x", "callbacks=swa"],
        ),
        (["+callbacks.x={_target_:lightning.pytorch.callbacks.LearningRateFinder}"], ["lr_find=true"]),
    ],
)
def test_what_does_not_fit_is_refused_before_there_is_a_folder(command, words, needles):
    done = command("train", *words, "data=digits")
    assert done.code == 2, done.err
    for needle in needles:
        assert needle in done.err
    assert not done.outputs.exists()


def test_clipped_gradients_are_another_run_and_recipe(command, plain):
    done = command("train", *WORDS, "trainer.gradient_clip_val=0.01")
    assert done.code == 0, done.err
    assert curve(done.folder) != curve(plain)
    recipes = {recipe_hash(resolved(compose(*words))) for words in ((), ("trainer.gradient_clip_val=0.01",))}
    assert len(recipes) == 2
