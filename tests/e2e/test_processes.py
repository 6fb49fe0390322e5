"""Several processes: of one run, of one sweep, of one job of SLURM's. One folder, one result, no job twice."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from snnbench import processes, status
from snnbench.training import distributed
from tests.conftest import ROOT, TINY
from tests.e2e.test_resume import wait_for_epochs

pytestmark = pytest.mark.timeout(900)  # each process imports for seconds, and several do at once
SHORT = (*TINY, "epochs=1", "threads=1", "data.num_workers=0", "engine=reference")
TWO = (*SHORT, "trainer.accelerator=cpu", "trainer.strategy=ddp", "batch_size=16")


def starts(folder: Path) -> int:
    return len((folder / "environment.jsonl").read_text().splitlines())


# who is who


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, (True, None)),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "GROUP_RANK": "0"}, (True, 0)),
        ({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "GROUP_RANK": "1"}, (False, 1)),
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, (True, None)),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_LOCALID": "0", "SLURM_NODEID": "1"}, (False, 1)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, (True, None)),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "1"}, (True, None)),
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"}, (False, 2)),
        ({"PMI_RANK": "0", "PMI_SIZE": "4"}, (True, 0)),
        ({"LOCAL_RANK": "1"}, (False, None)),
        ({"NODE_RANK": "1"}, (False, None)),
        ({"SNNBENCH_SHARED": "{}", "LOCAL_RANK": "1", "SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, (False, None)),
        ({"RANK": "x", "WORLD_SIZE": "2"}, (True, None)),
    ],
)
def test_the_first_process_is_told_by_its_launcher(environ, expected):
    launch = processes.launch(environ)
    assert (processes.is_first(environ), launch and launch.rank) == expected


# a sweep on several devices


def launched(monkeypatch, **values):
    for key, value in values.items():
        monkeypatch.setenv(key, str(value))


@pytest.mark.parametrize(
    ("environ", "words", "needle"),
    [
        ({"RANK": 0, "WORLD_SIZE": 2, "LOCAL_RANK": 0}, ("trainer.devices=2",), "started as 2 processes by torchrun"),
        ({"SLURM_PROCID": 1, "SLURM_NTASKS": 2}, (), "started as 2 processes by srun"),
        ({"SLURM_PROCID": 0, "SLURM_NTASKS": 2, "SLURM_STEP_ID": 0}, (), "started as 2 processes by srun"),
        ({"OMPI_COMM_WORLD_RANK": 0, "OMPI_COMM_WORLD_SIZE": 3}, (), "started as 3 processes by mpirun"),
        ({}, ("trainer.num_nodes=2", "trainer.strategy=ddp"), "trainer.num_nodes=2"),
    ],
)
def test_a_sweep_that_would_mix_its_jobs_is_refused_in_one_line(command, monkeypatch, environ, words, needle):
    launched(monkeypatch, **environ)
    done = command("train", "-m", *SHORT, "trainer.accelerator=cpu", *words, "seed=0,1")
    assert done.code == 2
    assert needle in done.err
    assert "no job was started" in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert done.folders == []


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"SLURM_PROCID": 0, "SLURM_NTASKS": 2, "SLURM_STEP_ID": 0}, ()),
        ({"SLURM_PROCID": 1, "SLURM_NTASKS": 2}, ()),
        ({"PMI_RANK": 0, "PMI_SIZE": 4}, ("trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu")),
    ],
)
def test_other_processes_than_devices_are_refused(command, monkeypatch, environ, words):
    launched(monkeypatch, **environ)
    done = command("train", *SHORT, *words)
    assert done.code == 2
    assert "processes. Make them equal" in done.err
    assert done.folders == []


def test_a_batch_script_of_many_tasks_may_train_alone(command, monkeypatch):
    launched(monkeypatch, SLURM_PROCID=0, SLURM_NTASKS=2, SLURM_JOB_ID=5)
    done = command("train", *SHORT)
    assert done.code == 0, done.err


class Process:
    """Of a job, as `subprocess.Popen` gives it."""

    made: list["Process"] = []  # noqa: RUF012
    codes: list[int] = []  # noqa: RUF012

    def __init__(self, words, env):
        self.words, self.env = words, env
        self.made.append(self)

    def wait(self):
        return self.codes[len(self.made) - 1]


@pytest.mark.parametrize("word", ["trainer.devices=2", "trainer.devices=auto", "trainer.devices=-1"])
def test_each_job_on_several_devices_has_a_command_of_its_own(command, monkeypatch, word):
    if "2" not in word:
        monkeypatch.setattr("lightning.pytorch.accelerators.CUDAAccelerator.is_available", staticmethod(lambda: True))
        monkeypatch.setattr("lightning.pytorch.accelerators.CUDAAccelerator.auto_device_count", staticmethod(lambda: 2))
        monkeypatch.setattr(
            "lightning.pytorch.accelerators.CUDAAccelerator.parse_devices", staticmethod(lambda devices: [0, 1])
        )
        monkeypatch.setattr("snnbench.training.devices.check_device", lambda cfg: None)
    monkeypatch.setattr(Process, "made", [])
    monkeypatch.setattr(Process, "codes", [0, -9, 1])
    monkeypatch.setattr(distributed.subprocess, "Popen", Process)
    monkeypatch.setenv("LOCAL_RANK", "0")  # as a run on several devices leaves it behind
    device = "cpu" if "2" in word else "cuda"
    done = command("train", "-m", *SHORT, f"trainer.accelerator={device}", "trainer.strategy=auto", word, "seed=0,1,2")
    assert done.code == 1, done.err
    assert "job 2 was killed by SIGKILL" in done.err
    assert [process.env[status.JOB] for process in Process.made] == ["0", "1", "2"]
    assert [process.words[-1] for process in Process.made] == ["seed=0", "seed=1", "seed=2"]
    assert all(word in process.words and "-m" not in process.words for process in Process.made)
    assert not any("LOCAL_RANK" in process.env for process in Process.made)


@pytest.mark.slow
def test_a_sweep_on_two_devices_trains_each_job_in_both(tmp_path):
    done = train(tmp_path, "-m", *TWO, "trainer.devices=2", "seed=0,1")
    assert done.returncode == 0, done.stderr
    folders = sorted(path.parent for path in tmp_path.glob("*/*/config.yaml"))
    results = [json.loads((folder / "result.json").read_text()) for folder in folders]
    assert [(result["status"], result["seed"]) for result in results] == [("finished", 0), ("finished", 1)]
    alone = train(tmp_path / "alone", *TWO, "trainer.devices=2", "seed=1")
    assert alone.returncode == 0, alone.stderr
    (path,) = (tmp_path / "alone").glob("*/*/metrics.csv")
    assert path.read_text() == (folders[1] / "metrics.csv").read_text()
    again = train(tmp_path, "-m", *TWO, "trainer.devices=2", "seed=0,1")
    assert again.stderr.count("finished already") == 2


def train(outputs: Path, *words: str, **environ: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "train.py", *words], cwd=ROOT, env=surroundings(outputs, environ), capture_output=True,
        text=True, timeout=400,
    )  # fmt: skip


def surroundings(outputs: Path, environ: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "SNNBENCH_OUTPUTS": str(outputs), **environ}


# processes that others start


def at_once(outputs: Path, commands: list[tuple[list[str], dict[str, str]]]) -> list[tuple[int, str]]:
    """Exit code and errors of commands that run together."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started = [
        subprocess.Popen([sys.executable, *words], cwd=ROOT, env=surroundings(outputs, environ), **pipes)
        for words, environ in commands
    ]
    try:
        said = [process.communicate(timeout=400)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    return [(process.returncode, text) for process, text in zip(started, said, strict=True)]


def two_nodes(kind: str, port: int) -> list[tuple[list[str], dict[str, str]]]:
    """train.py's words on each of two machines of one device, and what its launcher puts into the environment."""
    words = ["train.py", *TWO, "epochs=2", "trainer.devices=1", "trainer.num_nodes=2"]
    if kind == "torchrun":
        torchrun = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1"]
        return [([*torchrun, f"--master-port={port}", f"--node-rank={node}", *words], {}) for node in (0, 1)]
    if kind == "srun":
        names = {"SLURM_NTASKS": "2", "SLURM_JOB_ID": str(port), "SLURM_STEP_ID": "0", "SLURM_LOCALID": "0"}
        return [(words, {**names, "SLURM_PROCID": node, "SLURM_NODEID": node}) for node in "01"]
    names = {"OMPI_COMM_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [(words, {**names, "OMPI_COMM_WORLD_RANK": node, "OMPI_COMM_WORLD_LOCAL_RANK": "0"}) for node in "01"]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "port"), [("torchrun", 29_631), ("srun", 29_632), ("mpirun", 29_633)])
def test_two_machines_make_one_folder_and_one_result(tmp_path, kind, port):
    done = at_once(tmp_path, two_nodes(kind, port))
    assert [code for code, _ in done] == [0, 0], done
    assert sum(text.count("test accuracy, last epoch") for _, text in done) == 1
    (folder,) = (path for path in tmp_path.glob("*/*") if path.parent.name != ".sweeps")
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], result["epochs"]["run"]) == ("finished", 2)
    assert starts(folder) == 1
    assert list(ROOT.glob("hpc_ckpt*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_the_result_says_which_process_failed_and_why(tmp_path, rank):
    fail = f"+callbacks.fail={{_target_: tests.lab.Fail, rank: {rank}, epoch: 1}}"
    done = train(tmp_path, *TWO, "epochs=3", "trainer.devices=2", fail)
    assert done.returncode != 0
    (path,) = tmp_path.glob("*/*/result.json")
    result = json.loads(path.read_text())
    assert (result["status"], result["cause"]) == ("failed", "program")
    assert "ZeroDivisionError: of one process" in result["error"]
    assert result["epochs"]["run"] == 1


@pytest.mark.slow
def test_a_killed_process_ends_the_run_which_a_sweep_resumes(tmp_path):
    fail = "+callbacks.fail={_target_: tests.lab.Fail, rank: 1, epoch: 1, kill: true}"
    words = ("-m", *TWO, "epochs=3", "trainer.devices=2", "seed=0")
    assert train(tmp_path, *words, fail).returncode == 1
    (path,) = tmp_path.glob("*/*/result.json")
    config = path.parent / "config.yaml"  # as if nothing in the recipe had killed it
    cfg = OmegaConf.load(config)
    del cfg.callbacks["fail"]
    OmegaConf.save(cfg, config)
    done = train(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(path.read_text())["status"] == "finished"
    assert starts(path.parent) == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_all_processes_leaves_one_interrupted_run(tmp_path, number):
    words = [sys.executable, "train.py", *TWO, "epochs=500", "trainer.devices=2"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(words, cwd=ROOT, env=surroundings(tmp_path, {}), start_new_session=True, **pipes)
    folder = wait_for_epochs(tmp_path, 2)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], result["cause"]) == ("interrupted", "machine")
    assert err.count("resume=") == 1
