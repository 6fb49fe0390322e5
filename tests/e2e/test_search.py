"""A sweeper that chooses jobs by how earlier ones ended: what it is given, what it may ask for, how it goes on."""

import json
import re

import pytest

from tests.conftest import TINY, read_csv
from tests.lab import Stop, stopped_by

optuna = pytest.importorskip("optuna")
LR = "optimizer.lr=tag(log,interval(1e-3,1e-1))"
SEARCH = ("-m", "+sweep=optuna", *TINY, "threads=1", "neuron=lif", LR, "hydra.sweeper.sampler.seed=1")


def study(outputs):
    storage = f"sqlite:///{outputs}/.sweeps/optuna.db"
    (summary,) = optuna.get_all_study_summaries(storage)
    return optuna.load_study(study_name=summary.study_name, storage=storage)


def best_validation(folder) -> float:
    return max(float(row["val/acc"]) for row in read_csv(folder / "metrics.csv"))


def test_each_trial_has_the_best_validation_accuracy_of_its_run_and_the_same_command_goes_on(command):
    first = command("train", *SEARCH, "hydra.sweeper.n_trials=2")
    assert first.code == 0, first.err
    values = [trial.value for trial in study(first.outputs).trials]
    assert values == [best_validation(folder) for folder in first.folders]
    (line,) = (line for line in first.out.splitlines() if line.startswith("best by best_validation"))
    assert float(re.search(r", ([\d.]+): optimizer.lr=", line)[1]) == pytest.approx(max(values), rel=1e-4)

    more = command("train", *SEARCH, "hydra.sweeper.n_trials=3")
    assert more.code == 0, more.err
    assert "2 of 3 trials are there" in more.err
    trials = study(more.outputs).trials
    assert len(trials) == len(more.folders) == len({trial.params["optimizer.lr"] for trial in trials}) == 3

    none = command("train", *SEARCH, "hydra.sweeper.n_trials=3")
    assert none.code == 0, none.err
    assert "3 of 3 trials are there" in none.err
    assert len(none.folders) == 3


def test_a_trial_that_was_cut_off_is_tried_again_and_its_run_goes_on(command):
    with stopped_by(Stop(1, interrupt=True)):
        cut = command("train", *SEARCH, "hydra.sweeper.n_trials=1")
    assert cut.code == 130, cut.err
    assert cut.result()["status"] == "interrupted"
    again = command("train", *SEARCH, "hydra.sweeper.n_trials=1")
    assert again.code == 0, again.err
    assert again.result()["status"] == "finished"  # in the same folder
    assert [trial.state.name for trial in study(again.outputs).trials] == ["FAIL", "COMPLETE"]


def test_several_aims_are_told_together(command):
    aims = ("optimize=[best_validation,energy]", "hydra.sweeper.direction=[maximize,minimize]")
    done = command("train", *SEARCH, *aims, "hydra.sweeper.n_trials=1")
    assert done.code == 0, done.err
    (trial,) = study(done.outputs).trials
    assert trial.values == [best_validation(done.folder), done.result()["energy"]["picojoule"]]


def test_a_trial_that_diverges_fails_and_the_search_goes_on(command):
    words = [word for word in SEARCH if word not in (LR, "hydra.sweeper.sampler.seed=1")]
    done = command(
        "train", *words, "optimizer=sgd", "optimizer.lr=1e30,0.01", "batch_size=32", "hydra/sweeper/sampler=grid"
    )  # fmt: skip
    states = {trial.params["optimizer.lr"]: trial.state.name for trial in study(done.outputs).trials}
    assert states == {1e30: "FAIL", 0.01: "COMPLETE"}, done.err
    assert done.code == 1


@pytest.mark.parametrize(
    ("words", "needles"),
    [
        (["optimize=best_test"], ["test set", "optimize=best_test_anyway"]),
        (["optimize=best_validatoin"], ["Did you mean 'best_validation'"]),
        (["optimize=null"], ["hydra/sweeper=optuna", "optimize=best_validation"]),
        (["hydra.sweeper.direction=minimize"], ["hydra.sweeper.direction=maximize"]),
        (["data.val_fraction=0"], ["data.val_fraction=0.1"]),
        (["neuron.tau=2.0,0.5"], ["neuron.tau=0.5"]),
        (["neuron.tau=interval(0.5,3)"], ["neuron.tau=0.5"]),
    ],
)
def test_what_is_wrong_with_any_trial_is_found_before_the_first(command, words, needles):
    done = command("train", *SEARCH, *words)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert "no job was started" in done.err
    for needle in needles:
        assert needle in done.err
    assert not done.outputs.exists()


def test_a_test_accuracy_is_told_where_that_is_forced(command):
    done = command("train", *SEARCH, "optimize=last_test_anyway", "hydra.sweeper.n_trials=1")
    assert done.code == 0, done.err
    assert study(done.outputs).best_value == done.result()["accuracy"]["last_epoch"]


def test_what_is_optimised_is_no_part_of_a_recipe(command):
    words = (*TINY, "threads=1", "seed=0", "data.val_fraction=0.1")
    assert command("train", "-m", *words).code == 0
    again = command("train", "-m", *words, "optimize=best_validation")
    assert "skipped, finished already" in again.err
    assert json.loads((again.folder / "result.json").read_text())["status"] == "finished"
