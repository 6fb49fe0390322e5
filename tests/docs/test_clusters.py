"""docs/clusters.md: what can be run without a cluster runs as the page says."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.docs.pages import sections

TEXT = (ROOT / "docs" / "clusters.md").read_text()
PAGE = sections("clusters.md")


def run(folder, words: list[str]) -> subprocess.CompletedProcess:
    environ = {**os.environ, "SNNBENCH_OUTPUTS": str(folder / "runs"), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, *words[1:], "logger=none"]
    return subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=280)


def results(folder) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((folder / "runs").glob("*/*/result.json"))]


@pytest.mark.slow
def test_submitit_on_this_machine_then_a_plan_for_slurm(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    local, plan = PAGE["Seeds of a row by submitit"].commands
    plan += ["experiment=arlif/cifar10_resnet18_t4"]  # whose mixed precision no CPU has, but the node may
    done = run(tmp_path, local)
    assert done.returncode == 0, done.stderr
    assert sorted((result["status"], result["seed"]) for result in results(tmp_path)) == [
        ("finished", 0),
        ("finished", 1),
    ]
    done = run(tmp_path, plan)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("start: ") == 2
    assert len(results(tmp_path)) == 2


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_ray_on_this_machine(tmp_path):
    (words,) = [line.split() for line in re.search(r"```bash-ray\n(.*?)```", TEXT, re.S)[1].splitlines()]
    done = run(tmp_path, words)
    assert done.returncode == 0, done.stderr
    assert [result["status"] for result in results(tmp_path)] == ["finished"] * 2


@pytest.mark.slow
def test_two_processes_of_one_run(tmp_path):
    (words,) = PAGE["Several devices, several machines"].commands
    done = run(tmp_path, words)
    assert done.returncode == 0, done.stderr
    (result,) = results(tmp_path)
    assert result["status"] == "finished"
    (config,) = (tmp_path / "runs").glob("*/*/config.yaml")
    assert "  devices: 2\n" in config.read_text()


def test_the_array_is_a_script_whose_command_can_be_planned(tmp_path):
    script = re.search(r"```bash-script\n(.*?)```", TEXT, re.S)[1]
    path = tmp_path / "row.sbatch"
    path.write_text(script)
    assert subprocess.run(["bash", "-n", path]).returncode == 0
    for stub in ("srun", "python"):
        words = '"$@"' if stub == "srun" else f'{sys.executable} "$@" --plan trainer.precision=32-true'
        (tmp_path / stub).write_text(f"#!/bin/sh\nexec {words}\n")
        (tmp_path / stub).chmod(0o755)
    environ = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_ARRAY_TASK_ID": "2",
        "HOME": str(tmp_path),
    }
    done = subprocess.run(["bash", path], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "start: experiment=arlif/cifar10_resnet18_t4 seed=2" in done.stdout
