"""A run goes on in another number of processes than it began in, and says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from snnbench.runs.read import read_run
from tests.conftest import ROOT, TINY

SHORT = [*TINY, "epochs=1", "schedule=constant", "trainer.accelerator=cpu"]
ONE, TWO = ["trainer.devices=1", "trainer.strategy=auto"], ["trainer.devices=2", "trainer.strategy=ddp"]


def train(outputs: Path, *words: str) -> str:
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "SNNBENCH_OUTPUTS": str(outputs)}
    done = subprocess.run(
        [sys.executable, "train.py", *words], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("began", "goes_on", "was", "now"), [(TWO, ONE, 2, 1), (ONE, TWO, 1, 2)])
def test_a_run_goes_on_in_other_processes(tmp_path, began, goes_on, was, now):
    train(tmp_path, *SHORT, *began)
    (folder,) = (path.parent for path in tmp_path.glob("*/*/config.yaml"))
    before = read_run(folder).recipe
    said = train(tmp_path, f"resume={folder}", "epochs=2", *goes_on)
    assert f"from epoch 2 on with trainer.devices={now}, trainer.num_nodes=1 instead of trainer.devices={was}" in said
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], result["epochs"]) == ("finished", {"planned": 2, "run": 2})
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["trainer"]["devices"] == now
    assert config["moved"] == [{"at": 1, "devices": was, "num_nodes": 1}]
    assert read_run(folder).recipe != before
    assert len((folder / "metrics.csv").read_text().splitlines()) == 3


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a machine without a GPU")
def test_a_run_that_was_replayed_on_a_gpu_goes_on_without_one(command, tmp_path):
    folder = tmp_path / "run"
    words = [*TINY, "epochs=1", "schedule=constant", f"paths.output_dir={folder}"]
    assert command("train", *words).code == 0
    config = folder / "config.yaml"
    before = read_run(folder).recipe
    config.write_text(config.read_text().replace("cuda_graph: false", "cuda_graph: true"))
    assert read_run(folder).recipe == before
    refused = command("train", f"resume={folder}", "epochs=2")
    assert refused.code == 2
    assert "cuda_graph=true: needs a CUDA device" in refused.err
    refused = command("train", f"resume={folder}", "epochs=2", "cuda_graph=often")
    assert refused.code == 2
    assert "cuda_graph: Value 'often' is not a valid bool" in refused.err
    done = command("train", f"resume={folder}", "epochs=2", "cuda_graph=false")
    assert done.code == 0, done.err
    assert yaml.safe_load(config.read_text())["cuda_graph"] is False
    config.write_text(config.read_text().replace("cuda_graph: false", "cuda_graph: true"))
    done = command("eval", f"run={folder}")  # which replays nothing
    assert done.code == 0, done.err
