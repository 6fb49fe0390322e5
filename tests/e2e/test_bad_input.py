"""Every mistake gets one or two lines, exit code 2, no traceback, and leaves nothing behind."""

import os
import resource
import signal
import sys
import time

import pytest
import torch
from hydra.errors import MissingConfigException

from snnbench.explain import explain
from snnbench.overrides import CommandLine
from snnbench.training.checkpoint import AtomicCheckpointIO
from tests.conftest import CONFIGS, TINY
from tests.e2e.mistakes import MISTAKES


def test_did_you_mean_reads_the_keys_of_what_was_chosen(command):
    done = command("train", "neuron=lif", "neuron.taau=3")
    assert "Did you mean 'neuron.tau'?" in done.err
    done = command("train", "neuron=lif", "neuron.squash=tanh")  # which the default neuron has
    assert done.code == 2
    assert "neuron.squash: there is no such key" in done.err
    assert "Did you mean 'neuron.squash'" not in done.err
    done = command("train", "optimizer=sgd", "optimizer.momentm=0")
    assert "Did you mean 'optimizer.momentum'?" in done.err


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["data=CIFAR-100"], "Did you mean 'cifar100'?"),
        (["neuron=DALIF"], "Did you mean 'dalif'?"),
        (["dataset=mnist"], "Did you mean 'data'?"),
        (["model=resnet18"], "Did you mean 'backbone'?"),
        (["learning_rate=1"], "Did you mean 'optimizer.lr'?"),
        (["time=3"], "Did you mean 'T'?"),
        (["surrogate=atan"], "Did you mean 'neuron/surrogate'?"),
        (["neuron.alpha=1"], "Did you mean 'neuron.alpha_init'?"),
        (["neuron=lif", "neuron.alpha_init=1"], "neuron has surrogate, tau, decay_input, "),
        (["experiment=klif"], "Beginning so: klif/cifar10_plifnet_t10, "),
        (["experiment=dalif_cifar100"], "Beginning so: dalif/cifar100_resnet19_t2, "),
        (["-m", "hydra/launcher=submitit", "seed=0,1"], "Did you mean 'submitit_slurm'?"),
        (["-m", "neuron=lif,klfi"], "error: neuron=klfi: must be the name of a config of neuron. Did you mean 'klif'?"),
        (["neuron", "lif"], "error: neuron: cannot be read as key=value. Write neuron=..."),
        (["--seed"], "error: unrecognized arguments: --seed. See --help."),
    ],
    ids=str,
)
def test_the_nearest_name_is_one_that_is_meant(command, words, near):
    done = command("train", *words)
    assert done.code == 2
    assert near in done.err
    assert len(done.err.splitlines()) <= 2


@pytest.mark.parametrize("word", ["foo=1", "neuron.zzz=1", "data=blobs"])
def test_where_nothing_is_near_nothing_is_guessed(command, word):
    assert "Did you mean" not in command("train", word).err


def test_flags_may_stand_between_overrides(command):
    done = command("train", "neuron=lif", "--cfg", "job", "T=2")
    assert done.code == 0
    assert done.out.startswith("T: 2\n")
    words = ("T=3", "--info", "config", "neuron=lif", "--config-dir", "mine")
    assert CommandLine.read(words, CONFIGS, "train").overrides == ("T=3", "neuron=lif")
    assert CommandLine.read(("--info", "T=3"), CONFIGS, "train").overrides == ("T=3",)


def test_no_message_names_a_config_that_nobody_typed(command, tmp_path):
    for name, text in {
        "data/blobs": 'defaults: ["/data/digits@_here_"]\nname: blobs\n',
        "experiment/mine": "# @package _global_\ndefaults:\n  - override /neuron: my_neuron\n",
    }.items():
        path = tmp_path / "mine" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    folder = ("--config-dir", str(tmp_path / "mine"))
    done = command("train", f"hydra.searchpath=[file://{tmp_path / 'mine'}]", "data=blobs")  # not as one's own
    assert done.code == 2
    assert done.err.startswith("error: data=blobs: takes recipe/blobs.yaml, which is not there.")
    done = command("train", *folder, "experiment=mine")
    assert done.err.startswith("error: experiment=mine: its defaults name neuron/my_neuron.yaml, which is not there.")
    done = command("train", *folder, "data=blob")
    assert "'blobs'" in done.err
    done = command("train", *folder, "data=blobs", "recipe=digits", "backbone=convnet", "datas.name=x")
    assert "Did you mean 'data.name'?" in done.err


@pytest.mark.parametrize(("arguments", "needles"), MISTAKES, ids=lambda value: " ".join(value))
def test_a_mistake_is_explained(command, arguments, needles):
    done = command("train", *arguments)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert len(done.err.strip().splitlines()) <= 2
    for needle in needles:
        assert needle in done.err
    assert "Traceback" not in done.err
    assert done.folders == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named(command):
    done = command("train", "trainer.accelerator=gpu")
    assert (done.code, done.folders) == (2, [])
    assert "trainer.accelerator=gpu" in done.err
    done = command("train", "engine=cuda")
    assert (done.code, done.folders) == (2, [])
    assert "engine=cuda: is for cuda, and this run computes on cpu (trainer.accelerator=auto)" in done.err


def test_a_plugin_that_is_missing_is_named_with_what_installs_it():
    missing = MissingConfigException("", "hydra/launcher/ray", ["basic", "joblib"])
    assert explain(missing).endswith("is not installed. pip install 'snnbench[ray]', or in a checkout '.[ray]'.")


def test_the_traceback_is_there_for_who_asks(command, monkeypatch):
    from snnbench import cli
    from snnbench.errors import UserError

    def refuse(cfg):
        raise UserError("no")

    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(UserError):
        cli.main(refuse, CONFIGS, "train")


def test_resume_refuses_what_cannot_go_on(command):
    run = command("train", *TINY)
    finished = command("train", f"resume={run.folder}")
    assert finished.code == 2
    assert "finished" in finished.err

    more = command("train", f"resume={run.folder}", "T=4")
    assert more.code == 2
    assert "leave out T=4" in more.err

    result = (run.folder / "result.json").read_text()
    (run.folder / "result.json").write_text(result.replace('"finished"', '"running"'))
    last = run.folder / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    damaged = command("train", f"resume={run.folder}")
    assert damaged.code == 2
    assert "last.ckpt (1000 bytes) is damaged" in damaged.err
    assert "best.ckpt" in damaged.err

    (run.folder / "result.json").write_text(result[:50])
    broken = command("train", f"resume={run.folder}")
    assert broken.code == 2
    assert "result.json is damaged" in broken.err


def test_eval_explains(command, tmp_path):
    run = command("train", *TINY)
    assert "not the folder of a run" in command("eval", f"run={tmp_path}").err
    assert command("eval").err == "error: run=...: is missing. See --help.\n"
    done = command("eval", f"run={run.folder}", "ckpt=bset")
    assert done.code == 2
    assert "'best'" in done.err
    assert command("eval").code == 2
    if not torch.cuda.is_available():
        assert command("eval", f"run={run.folder}", "accelerator=gpu").err.startswith("error: accelerator=gpu: ")


def test_an_existing_output_folder_is_not_written_into(command, tmp_path):
    (tmp_path / "mine").mkdir()
    done = command("train", *TINY, f"paths.output_dir={tmp_path / 'mine'}")
    assert done.code == 2
    assert "exists already" in done.err
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_run_in_use_is_not_resumed(command):
    from snnbench.runs.folder import locked

    run = command("train", *TINY)
    result = (run.folder / "result.json").read_text()
    (run.folder / "result.json").write_text(result.replace('"finished"', '"running"'))
    with locked(run.folder):
        done = command("train", f"resume={run.folder}")
    assert done.code == 2
    assert "still going on" in done.err


def test_a_forked_process_does_not_keep_the_lock_of_a_killed_run(tmp_path):
    from snnbench.runs.folder import locked

    reader, writer = os.pipe()
    with locked(tmp_path):
        worker = os.fork()
        if worker == 0:
            os.write(writer, b"x")
            time.sleep(60)
            os._exit(0)
        os.read(reader, 1)
    try:
        with locked(tmp_path):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
        os.close(reader)
        os.close(writer)


def test_two_folders_made_at_the_same_instant_differ(tmp_path, monkeypatch):
    from omegaconf import OmegaConf

    from snnbench.runs import folder

    monkeypatch.setattr(folder.time, "strftime", lambda pattern: "20260101-000000")
    cfg = OmegaConf.create({"name": "x", "seed": 0, "paths": {"outputs": str(tmp_path), "output_dir": None}})
    made = {folder.new_folder(cfg) for _ in range(3)}
    assert len(made) == 3


def test_a_disk_that_fills_up_keeps_the_previous_checkpoint(command, monkeypatch):
    """The limit on file size stands in for the full disk; only a checkpoint is as large as it."""
    save = AtomicCheckpointIO.save_checkpoint

    def save_on_a_full_disk(self, checkpoint, path, storage_options=None):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        if checkpoint["epoch"] == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (8000, before[1]))
        try:
            save(self, checkpoint, path, storage_options)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", save_on_a_full_disk)
    done = command("train", *TINY, "epochs=3")
    assert done.code == 1, done.err  # something was trained, and is kept
    assert done.result()["cause"] == "machine"
    assert "cannot write" in done.err
    assert "resume=" in done.err
    checkpoints = done.folder / "checkpoints"
    assert torch.load(checkpoints / "last.ckpt", weights_only=True)["epoch"] == 0
    assert all(path.suffix == ".ckpt" and not path.name.startswith(".") for path in checkpoints.iterdir())
