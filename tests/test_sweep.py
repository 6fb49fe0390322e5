"""Sweeps: what is there is not repeated, what was stopped goes on, and every sweep file composes."""

import os
import shutil
import sys

import pytest
from hydra.utils import instantiate

from scripts.sweep import main
from snnbench import cli
from snnbench.errors import UserError
from snnbench.neurons import SpikingNeuron
from snnbench.sweep import plan
from snnbench.training.run import train
from tests.conftest import CONFIGS
from tests.lab import ROW

SWEEPS = {  # number of jobs
    "dalif_parts": 4,
    "dalif_squash": 3,
    "dalif_grid": 25,
    "dalif_init": 9,
    "arlif_reset": 6,
    "klif_parts": 4,
    "timesteps": 5,
    "surrogates": 5,
    "comparison": 42,
}


@pytest.fixture
def words(lab, monkeypatch):
    """Three seeds and two learning rates of the lab's row."""
    monkeypatch.setenv("SNNBENCH_OUTPUTS", str(lab.outputs))
    return [f"experiment={ROW}", "seed=0,2,4"]


def test_jobs_find_their_runs(lab, words):
    found = {job.words[-1]: (job.action, job.run and job.run.folder) for job in plan(words, lab.configs)}
    assert found["seed=0"][0] == "done"
    assert found["seed=0"][1] in (lab.runs["seed0"], lab.runs["seed0_again"], lab.runs["no_row"])
    assert found["seed=2"] == ("start", None)  # the run with seed 2 has another learning rate
    assert found["seed=4"] == ("resume", lab.runs["interrupted"])
    jobs = plan([f"experiment={ROW}", "optimizer.lr=0.001,0.005", "seed=2,3"], lab.configs)
    assert [job.action for job in jobs] == ["done", "start", "start", "failed"]
    lab.edit_result("interrupted", status="running")
    assert [job.action for job in plan(words, lab.configs)] == ["done", "start", "resume"]


def test_running_a_sweep_twice_trains_only_what_is_missing(lab, words, monkeypatch, capsys):
    config = lab.runs["interrupted"] / "config.yaml"
    text = config.read_text()
    start = text.index("  stop:\n")
    config.write_text(text[:start] + text[text.index("logger:") :])
    calls = []

    def run(arguments):
        calls.append(arguments)
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        os.environ.pop("HYDRA_FULL_ERROR", None)
        return cli.main(train, lab.configs, "train")

    assert main(words, run, lab.configs) == 0
    assert calls == [[f"experiment={ROW}", "seed=2"], [f"resume={lab.runs['interrupted']}"]]
    assert main(words, run, lab.configs) == 0
    assert len(calls) == 2
    assert capsys.readouterr().out.count("done") == 1 + 3


def test_a_failed_run_is_named_and_not_repeated_and_ctrl_c_ends_the_sweep(lab, words, capsys):
    calls = []
    assert main([f"experiment={ROW}", "seed=3"], calls.append, lab.configs) == 1
    assert calls == []
    assert "failed" in capsys.readouterr().out
    assert main(words, lambda arguments: calls.append(arguments) or 130, lab.configs) == 130
    assert len(calls) == 1


def test_plan_only_says(lab, words, capsys):
    assert main(["--plan", *words], lambda arguments: pytest.fail("trained"), lab.configs) == 0
    assert capsys.readouterr().out.count("\n") == 3


def test_without_outputs_every_job_starts(lab, words):
    shutil.rmtree(lab.outputs)
    assert {job.action for job in plan(words, lab.configs)} == {"start"}


def test_a_wrong_word_starts_nothing(lab, words, capsys):
    assert main([*words, "optimizer.lrr=1,2"], lambda arguments: pytest.fail("trained"), lab.configs) == 2
    assert "optimizer.lrr" in capsys.readouterr().err
    with pytest.raises(UserError, match="T=0"):
        plan([f"experiment={ROW}", "T=2,0"], lab.configs)


def neuron(job):
    return {key: value for key, value in job.config["neuron"].items() if key != "name"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (count > 10)) for name, count in SWEEPS.items()]
)
def test_every_sweep_composes_into_its_jobs(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SNNBENCH_OUTPUTS", str(tmp_path / "none"))
    jobs = plan([f"+sweep={name}"])
    assert len(jobs) == SWEEPS[name]
    assert len({job.words for job in jobs}) == len(jobs)
    text = (CONFIGS / "sweep" / f"{name}.yaml").read_text()
    assert f"python scripts/sweep.py +sweep={name}" in text
    for job in jobs:
        assert isinstance(instantiate(neuron(job))(channels=4), SpikingNeuron)
    assert len({str((job.config["T"], job.config["seed"], neuron(job))) for job in jobs}) == len(jobs)


def test_every_sweep_is_tested():
    assert {path.stem for path in (CONFIGS / "sweep").glob("*.yaml")} == set(SWEEPS)
