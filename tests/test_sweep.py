"""Sweeps: what is there is not repeated, what was stopped goes on, and every sweep file composes."""

import sys
from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.utils import instantiate
from omegaconf import OmegaConf

from snnbench import cli
from snnbench.config import check, register_schema
from snnbench.errors import UserError
from snnbench.neurons import SpikingNeuron
from snnbench.runs.read import read_run
from snnbench.sweep import Job, overrides_of, resolved, run_of
from snnbench.training import preflight
from snnbench.training.resume import reopen
from snnbench.training.run import train
from tests.conftest import CONFIGS
from tests.lab import ROW

SWEEPS = {  # number of jobs
    "dalif_parts": 4,
    "dalif_squash": 3,
    "dalif_grid": 25,
    "dalif_init": 12,
    "arlif_reset": 6,
    "klif_parts": 4,
    "timesteps": 5,
    "surrogates": 5,
    "comparison": 42,
    "psn_masked_order": 32,
    "psn_sliding_order": 32,
}


@pytest.fixture
def multirun(lab, monkeypatch, capfd):
    """`multirun("seed=0,1")`: `train.py -m` of the lab's row; exit code, output, errors."""
    monkeypatch.setenv("SNNBENCH_OUTPUTS", str(lab.outputs))

    def run(*words: str, row: str = ROW) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["train.py", "-m", f"experiment={row}", *words])
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        capfd.readouterr()
        try:
            code = cli.main(train, lab.configs, "train")
        except SystemExit as exit:
            code = exit.code
        return code, *capfd.readouterr()

    return run


def planned(multirun, *words: str) -> list[tuple[str, str]]:
    """(action, folder) of each job."""
    code, out, err = multirun("--plan", *words)
    assert code == 0, err
    parts = [line.partition("] ")[2].partition("  ") for line in out.splitlines()]
    return [(head.partition(":")[0], folder) for head, _, folder in parts]


def test_jobs_find_their_runs(lab, multirun):
    found = planned(multirun, "seed=0,2,4")
    assert found[0][0] == "done"
    assert found[0][1] in [str(lab.runs[name]) for name in ("seed0", "seed0_again", "no_row")]
    assert found[1:] == [("start", ""), ("resume", str(lab.runs["interrupted"]))]  # seed 2 has another learning rate
    found = planned(multirun, "optimizer.lr=0.001,0.005", "seed=2,3")
    assert [action for action, _ in found] == ["done", "start", "start", "failed"]  # the program did, and would again
    assert planned(multirun, "seed=3", "retry=failed") == [("start", "")]
    lab.edit_result("failed", cause="machine")
    assert planned(multirun, "seed=3") == [("resume", str(lab.runs["failed"]))]
    lab.edit_result("failed", cause=None)  # of an older version, which did not say
    assert planned(multirun, "seed=3") == [("start", "")]
    lab.edit_result("interrupted", status="running")
    assert planned(multirun, "seed=4") == [("resume", str(lab.runs["interrupted"]))]
    lab.edit_result("failed", diverged=True)
    assert planned(multirun, "seed=3") == [("failed", str(lab.runs["failed"]))]


def test_a_run_answers_one_job_and_no_job_answers_another(lab, multirun):
    """The lab has three runs of seed 0 and one of seed 1."""
    assert [action for action, _ in planned(multirun, "seed=0,0,0,0")] == ["done"] * 3 + ["start"]
    assert len({folder for _, folder in planned(multirun, "seed=0,0,0")}) == 3
    assert [action for action, _ in planned(multirun, "seed=1,1")] == ["done", "start"]
    before = set(lab.outputs.glob("*/*/result.json"))
    code, out, err = multirun("seed=1,1", "epochs=1", "schedule.epochs=3")
    assert code == 0, err
    assert len(set(lab.outputs.glob("*/*/result.json")) - before) == 2
    assert "skipped" not in out


@pytest.mark.parametrize(
    ("word", "actions"),
    [
        ("engine=reference,auto", ["done", "start"]),
        ("data.seed=1,7", ["done", "start"]),
        ("~callbacks.progress", ["done"]),
        ("+callbacks.stop={_target_:lightning.pytorch.callbacks.EarlyStopping,monitor:test/acc}", ["start"]),
        ("trainer.accumulate_grad_batches=1,2", ["done", "start"]),
        ("+trainer.profiler=simple", ["done"]),
        ("+trainer.log_every_n_steps=1", ["done"]),
        ("data.num_workers=0,1", ["done", "start"]),  # one run of seed 1 answers one of two equal jobs
        ("paths.data=elsewhere", ["done"]),  # digits are real wherever they lie
        ("neuron=lif,klif", ["done", "start"]),
    ],
)
def test_what_decides_the_numbers_decides_what_is_there(multirun, word, actions):
    assert [action for action, _ in planned(multirun, "seed=1", word)] == actions


def test_other_data_that_is_not_verified_is_told_by_its_files_or_as_before_by_its_folder(lab, multirun):
    lab.edit_result("seed1", provenance="unverified")
    assert [action for action, _ in planned(multirun, "seed=1", "paths.data=elsewhere")] == ["done"]
    lab.edit_result("seed1", fingerprint=None)
    here = OmegaConf.load(lab.runs["seed1"] / "config.yaml").data.root
    assert [action for action, _ in planned(multirun, "seed=1", f"paths.data={here}")] == ["done"]
    assert [action for action, _ in planned(multirun, "seed=1", "paths.data=elsewhere")] == ["start"]


def test_jobs_resolve_their_own_interpolations(multirun):
    code, _out, err = multirun("seed=40", "neuron.tau=3.0", "neuron.v_th=2.0", "epochs=1", "schedule.epochs=3")
    assert code == 0, err
    words = ("seed=40", "epochs=1", "schedule.epochs=3", "neuron.tau=2.0,3.0", "neuron.v_th=${neuron.tau}")
    assert [action for action, _ in planned(multirun, *words)] == ["start", "start"]


def test_a_run_of_unverified_data_answers_no_job_that_verifies(lab, multirun):
    lab.edit_result("seed1", provenance="unverified")
    config = lab.runs["seed1"] / "config.yaml"
    cfg = OmegaConf.load(config)
    cfg.data.verify = False
    OmegaConf.save(cfg, config)
    assert [action for action, _ in planned(multirun, "seed=1", f"paths.data={cfg.data.root}")] == ["start"]


def test_a_run_goes_on_for_a_job_with_its_very_weights_where_these_count_by_their_recipe(lab):
    cfg = OmegaConf.load(lab.runs["interrupted"] / "config.yaml")
    cfg.weights = {"path": "a", "skip": [], "digest": "a" * 16, "recipe": "0123456789"}
    OmegaConf.save(cfg, lab.runs["interrupted"] / "config.yaml")
    run = read_run(lab.runs["interrupted"])
    other = {**run.config, "weights": {**run.config["weights"], "path": "b", "digest": "b" * 16}}
    assert run_of([run], run.config) is run
    assert run_of([run], other) is None
    finished = replace(run, status="finished")
    assert run_of([finished], other) is finished


def test_a_run_ended_within_an_epoch_is_a_failed_one(multirun, lab):
    code, _out, err = multirun("seed=41", "+callbacks.half={_target_: tests.lab.Half}", "batch_size=32")
    assert code == 1
    assert "before its last batch" in err


def test_a_run_is_not_resumed_with_other_code(lab, multirun):
    code = lab.result("interrupted")["code"]
    lab.edit_result("interrupted", code={**code, "snnbench.neurons.LIF": "0123456789ab"})
    assert [action for action, _ in planned(multirun, "seed=4")] == ["start"]
    with pytest.raises(UserError, match="LIF is not what this run began with"):
        reopen(str(lab.runs["interrupted"]))


def test_a_run_that_ended_early_answers_only_the_same_early_end(lab, multirun):
    early = "+callbacks.stop={_target_:lightning.pytorch.callbacks.EarlyStopping,monitor:test/acc,patience:0,"
    early += "stopping_threshold:1}"
    code, _out, err = multirun("seed=30", early)
    assert code == 0, err
    assert [action for action, _ in planned(multirun, "seed=30", early)] == ["done"]
    assert [action for action, _ in planned(multirun, "seed=30")] == ["start"]


def test_running_a_sweep_twice_trains_only_what_is_missing(lab, multirun):
    before = set(lab.outputs.glob("*/*/result.json"))
    code, _out, err = multirun("seed=0,2,4")
    assert code == 0, err
    assert err.count("skipped, finished already") == 1
    assert len(set(lab.outputs.glob("*/*/result.json")) - before) == 1
    assert lab.result("interrupted")["status"] == "finished"
    code, _out, err = multirun("seed=0,2,4")
    assert err.count("skipped, finished already") == 3


def test_a_diverged_run_is_named_and_left(lab, multirun):
    lab.edit_result("failed", diverged=True)
    before = set(lab.outputs.glob("*/*/result.json"))
    code, _out, err = multirun("seed=3")
    assert code == 1
    assert "diverged" in err
    assert set(lab.outputs.glob("*/*/result.json")) == before


def test_a_plan_needs_a_sweep_and_a_sweep_needs_m(lab, monkeypatch, capfd):
    for words, text in ((["--plan", "seed=1,2"], "goes with -m"), (["+sweep=klif_parts"], "needs -m")):
        monkeypatch.setattr(sys, "argv", ["train.py", *words])
        assert cli.main(train, lab.configs, "train") == 2
        assert text in capfd.readouterr().err


def test_a_wrong_word_starts_nothing(lab, multirun):
    before = set(lab.outputs.glob("*/*/result.json"))
    for word, text in (("optimizer.lrr=1,2", "optimizer.lrr"), ("T=2,0", "T=0"), ("data.batch_size=7", "batch_size")):
        code, _out, err = multirun(word)
        assert code == 2
        assert text in err
    assert set(lab.outputs.glob("*/*/result.json")) == before


def neuron(job):
    return {key: value for key, value in job.config["neuron"].items() if key != "name"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (count > 10)) for name, count in SWEEPS.items()]
)
def test_every_sweep_composes_into_its_jobs(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SNNBENCH_OUTPUTS", str(tmp_path / "none"))
    register_schema()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        base = compose("train", [f"+sweep={name}"], return_hydra_config=True)
        base.hydra.overrides.task = [f"+sweep={name}"]
        jobs = []
        for words in overrides_of(base):
            cfg = compose("train", words)
            check(cfg)
            jobs.append(Job(tuple(words), resolved(cfg), None))
    assert len(jobs) == SWEEPS[name]
    assert len({job.words for job in jobs}) == len(jobs)
    text = (CONFIGS / "sweep" / f"{name}.yaml").read_text()
    assert f"python train.py -m +sweep={name}" in text
    for job in jobs:
        assert isinstance(instantiate(neuron(job))(channels=4), SpikingNeuron)
    assert len({str((job.config["T"], job.config["seed"], neuron(job))) for job in jobs}) == len(jobs)


def test_every_sweep_is_tested():
    files = {path.stem for path in (CONFIGS / "sweep").glob("*.yaml")}
    assert files == {*SWEEPS, "optuna"}  # see tests/e2e/test_search.py


def test_a_sweep_parses_a_file_once_and_composes_what_was_planned_once_more(multirun, monkeypatch):
    parsed, composed = [], []
    load, sweep_config = OmegaConf.load, ConfigLoaderImpl.load_sweep_config
    monkeypatch.setattr(OmegaConf, "load", lambda file: parsed.append(str(getattr(file, "name", file))) or load(file))
    monkeypatch.setattr(
        ConfigLoaderImpl,
        "load_sweep_config",
        lambda *args, **kwargs: composed.append(1) or sweep_config(*args, **kwargs),
    )
    monkeypatch.setattr(cli, "_run_job", lambda *args: 0)
    multirun("seed=7,8,9", "epochs=1")
    files = [name for name in parsed if name.endswith(".yaml") and "/configs/" in name]
    assert len(files) > 10
    assert len(files) == len(set(files))
    assert len(composed) == 3, "by the launcher; the plan had seen that they compose"


def test_jobs_of_other_seeds_are_built_once(multirun, monkeypatch):
    built = []
    monkeypatch.setattr(preflight, "check_parts", lambda cfg, here: built.append((cfg.seed, cfg.T)))
    assert [action for action, _ in planned(multirun, "seed=7,8,9", "T=2,3")] == ["start"] * 6
    assert built == [(7, 2), (7, 3)]
