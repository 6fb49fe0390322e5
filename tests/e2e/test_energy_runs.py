"""Energy in the result of a run, and measured again by eval.py."""

import json
import re

import pytest
import torch

from tests.conftest import TINY

KEYS = ["model", "samples", "ac", "mac", "ann_mac", "picojoule", "ann_picojoule", "layers", "parameters"]


@pytest.fixture
def run(command):
    done = command("train", *TINY, "threads=1")
    assert done.code == 0, done.err
    assert "energy of a sample" in done.out
    return done.folder


def read(folder, name="result"):
    return json.loads((folder / f"{name}.json").read_text())


def test_a_run_has_its_energy_and_eval_measures_the_same(command, run):
    result = read(run)
    recorded = result["energy"]
    assert list(recorded) == KEYS
    assert recorded["model"] == "45nm"
    assert recorded["samples"] == 128
    assert recorded["parameters"] == result["parameters"]
    assert list(recorded["layers"]) == ["convs.0", "convs.1", "convs.2", "fc"]
    stem = recorded["layers"]["convs.0"]
    assert stem["mac"] == stem["ann_mac"] == 4 * 64 * 9
    assert recorded["ac"] == sum(layer["ac"] for layer in recorded["layers"].values()) > 0
    assert recorded["picojoule"] == pytest.approx(0.9 * recorded["ac"] + 4.6 * recorded["mac"])

    done = command("eval", f"run={run}", "energy=true")
    assert done.code == 0, done.err
    assert read(run, "eval-last")["energy"] == recorded
    assert "exactly" in done.out
    for word in ("convs.1", "averages", f"{recorded['ann_mac']:,.0f}", "nJ, as an ANN"):
        assert word in done.out

    done = command("eval", f"run={run}", "energy=lemaire", "ckpt=best")
    assert done.code == 0, done.err
    block = read(run, "eval-best")["energy"]
    assert list(block) == [*KEYS, "neurons", "parts", "ann_parts"]
    assert block["model"] == "lemaire"
    assert block["picojoule"] > recorded["picojoule"]
    assert read(run)["energy"] == recorded

    del result["energy"]
    (run / "result.json").write_text(json.dumps(result))
    assert command("eval", f"run={run}").code == 0
    assert "energy" not in read(run, "eval-last")
    assert command("eval", f"run={run}", "energy=true", "ckpt=best").code == 0
    assert "energy" not in read(run), "only the last epoch's belongs into the result"
    assert command("eval", f"run={run}", "energy=lemaire").code == 0
    assert read(run) == {**result, "energy": recorded}


def test_a_damaged_checkpoint_gives_its_energy_to_no_result(command, run):
    result = read(run)
    (run / "result.json").write_text(json.dumps({**result, "energy": None}))
    path = run / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    for value in checkpoint["state_dict"].values():
        value.copy_(value.flip(0))
    torch.save(checkpoint, path)
    assert command("eval", f"run={run}", "energy=true").code == 1
    assert read(run)["energy"] is None


def test_an_unknown_energy_model_is_refused_before_anything_runs(command):
    done = command("eval", "run=nowhere", "energy=lemair")
    assert done.code == 2
    assert "Did you mean 'lemaire'" in done.err


def test_energy_is_of_the_last_epoch_and_outlives_a_kill_after_it(command):
    done = command("train", *TINY, "epochs=3", "threads=1")
    recorded = done.result()["energy"]
    (done.folder / "result.json").write_text(json.dumps({**done.result(), "status": "running", "energy": None}))
    done = command("train", f"resume={done.folder}")
    assert done.code == 0, done.err
    assert done.result()["energy"] == recorded


def test_a_training_that_ends_early_says_how_to_measure_its_energy(command):
    stop = "{_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: test/acc, mode: max, stopping_threshold: 0}"
    done = command("train", *TINY, "threads=1", f"+callbacks.stop={stop}")
    assert done.code == 0, done.err
    assert (done.result()["epochs"], done.result()["energy"]) == ({"planned": 2, "run": 1}, None)
    assert re.search(r"eval\.py run=\S+ energy=true\n", done.out)
    assert command("eval", f"run={done.folder}", "energy=true").code == 0
    assert done.result()["energy"]["samples"] == 128
