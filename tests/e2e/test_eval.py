"""eval.py beyond the ordinary: other engines, other places, and what the run did not record."""

import json
import shutil

import pytest
import torch

from snnbench.neurons import SpikingNeuron
from tests.conftest import TINY


@pytest.fixture
def run(command):
    done = command("train", *TINY, "threads=1")
    assert done.code == 0, done.err
    return done.folder


def evaluation(folder, ckpt="last"):
    return json.loads((folder / f"eval-{ckpt}.json").read_text())


@pytest.mark.parametrize("ckpt", ["last", "best"])
def test_the_accuracy_of_each_checkpoint_is_compared_with_its_epochs(command, run, ckpt):
    done = command("eval", f"run={run}", f"ckpt={ckpt}")
    assert done.code == 0, done.err
    values = evaluation(run, ckpt)
    assert values["same"] is True
    assert values["recorded"] == {"test/acc": values["measured"]["test/acc"]}


def test_nothing_recorded_is_not_taken_for_equal(command, run):
    path = run / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    (history,) = (state for key, state in checkpoint["callbacks"].items() if key.startswith("History"))
    history["metrics"].pop()
    torch.save(checkpoint, path)
    done = command("eval", f"run={run}")
    assert done.code == 1
    assert "nothing was recorded for this epoch" in done.out
    assert "exactly" not in done.out
    assert evaluation(run)["same"] is False


def test_the_engine_asked_for_is_the_one_that_measures(command, run, monkeypatch):
    engines = set()
    forward = SpikingNeuron.forward
    monkeypatch.setattr(SpikingNeuron, "forward", lambda self, *x: engines.add(self.engine) or forward(self, *x))
    assert command("eval", f"run={run}").code == 0
    assert engines == {"auto"}
    engines.clear()
    command("eval", f"run={run}", "engine=reference")
    assert engines == {"reference"}


def test_it_is_the_engine_of_neurons_of_another_kind_in_the_head_too(command, monkeypatch):
    head = ("backbone=ltmdnet", "backbone.stages=[1]", "backbone.hidden=8", "loss=consistent", "epochs=1")
    done = command("train", *TINY, *head, "threads=1")
    assert done.code == 0, done.err
    engines, made = set(), SpikingNeuron.__init__
    monkeypatch.setattr(SpikingNeuron, "__init__", lambda self, **o: engines.add(o["engine"]) or made(self, **o))
    assert command("eval", f"run={done.folder}", "engine=reference").code == 0
    assert engines == {"reference"}


def test_a_misspelt_engine_is_refused(command, run):
    done = command("eval", f"run={run}", "engine=cdua")
    assert done.code == 2
    assert "cdua" in done.err
    assert "cuda" in done.err


def test_the_runs_own_accelerator_is_kept_unless_another_is_given(command, run):
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("accelerator: auto", "accelerator: tpv"))
    assert command("eval", f"run={run}").code != 0
    assert command("eval", f"run={run}", "accelerator=cpu").code == 0


def test_data_is_read_from_where_the_environment_says(command, run, tmp_path, monkeypatch):
    from snnbench.runs.folder import open_folder

    monkeypatch.setenv("SNNBENCH_DATA", "/elsewhere")
    _, cfg = open_folder(str(run))
    assert (cfg.paths.data, cfg.data.root) == ("/elsewhere", "/elsewhere")
    monkeypatch.delenv("SNNBENCH_DATA")
    _, cfg = open_folder(str(run))
    assert cfg.data.root == cfg.paths.data == str(tmp_path / "data")


def test_a_moved_run_is_evaluated_and_logs_nothing(command, run, tmp_path):
    moved = shutil.move(run, tmp_path / "moved")
    before = {path.name for path in moved.rglob("*")}
    assert command("eval", f"run={moved}", "ckpt=best").code == 0
    assert {path.name for path in moved.rglob("*")} - before == {"eval-best.json"}
    assert not run.exists()


def test_a_run_of_before_modules_moved_is_evaluated_resumed_and_counted(command, run):
    config = run / "config.yaml"
    text = config.read_text()
    assert "snnbench.data.images.sources.Digits" in text
    config.write_text(text.replace("snnbench.data.images.sources", "snnbench.data.sources"))
    result = json.loads((run / "result.json").read_text())
    del result["code"]  # older runs recorded none
    (run / "result.json").write_text(json.dumps(result))
    done = command("eval", f"run={run}")
    assert done.code == 0, done.err
    assert evaluation(run)["same"] is True
    again = command("train", "-m", "--plan", *TINY, "threads=1", "seed=0")
    assert again.out.startswith("[1/1] done: "), again.out
