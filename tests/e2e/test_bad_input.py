"""Every mistake gets one or two lines, exit code 2, no traceback, and leaves nothing behind."""

import os
import resource
import signal
import sys
import time

import pytest
import torch

from snnbench.training.checkpoint import AtomicCheckpointIO
from tests.conftest import TINY

CALLBACKS = "lightning.pytorch.callbacks"
MISTAKES = [
    (["neuron=dalfi"], ["neuron=dalfi", "'dalif'"]),
    (["data=cifar1"], ["data=cifar1", "'cifar10'"]),
    (["T=0"], ["T=0", "from 1"]),
    (["T=-1"], ["T=-1", "from 1"]),
    (["T=two"], ["T:", "'two'"]),
    (["-m", "T=1,0,2"], ["T=0", "no job was started"]),
    (["-m", "T=1,2", "neuron=lif,liv"], ["liv", "'lif'"]),
    (["epochs=0"], ["epochs=0"]),
    (["batch_size=0"], ["batch_size=0"]),
    (["batch_size=1.5"], ["batch_size"]),
    (["seed=-1"], ["seed=-1"]),
    (["lr=0.1"], ["lr", "'optimizer.lr'"]),
    (["optimiser.lr=0.1"], ["optimiser", "'optimizer"]),
    (["optimizer.lr=0.1", "optimizer.momentum=nope"], ["optimizer"]),
    (["trainer.precision=16-mixed"], ["trainer.precision=16-mixed", "CUDA"]),
    (["trainer.precision=half"], ["trainer.precision=half", "32-true"]),
    (["trainer.accumulate_grad_batches=7"], ["batch_size=64", "accumulate"]),
    (["engine=cdua"], ["engine='cdua'", "'cuda'"]),
    (["neuron.v_th=-1"], ["neuron.v_th=-1"]),
    (["neuron/surrogate=atn"], ["'atan'"]),
    (["+neuron.foo=1"], ["foo"]),
    (["backbone=resnet20"], ["image_size", "16x16"]),
    (["data.val_fraction=1.5"], ["data.val_fraction=1.5"]),
    (["data.num_workers=-1"], ["data.num_workers=-1"]),
    (["schedule.warmup=30"], ["schedule.warmup=30"]),
    (["schedule=cosine", "schedule.warmup=1.5"], ["schedule.warmup=1.5", "whole number"]),
    (["schedule=cosine", "schedule.epochs=inf"], ["schedule.epochs=inf", "whole number"]),
    (["schedule=cosine", "schedule.min_lr=-0.01"], ["schedule.min_lr=-0.01", "[0, inf)"]),
    (["schedule=cosine", "schedule.min_lr=5"], ["schedule.min_lr=5", "optimizer.lr"]),
    (["schedule=cosine_periodic", "schedule.T_max=0"], ["schedule.T_max=0", "whole number"]),
    (["data.std=[-1]"], ["data.std=[-1]", "(0, inf)"]),
    (["data.mean=[0.1,0.2]"], ["data.mean=[0.1, 0.2]", "of length 1", "data.in_channels"]),
    (["neuron.v_th=nan"], ["neuron.v_th=nan", "(0, inf)"]),
    (["backbone.width=2.5"], ["backbone.width=2.5", "whole number"]),
    (["optimizer.weight_decay=-1"], ["optimizer.weight_decay=-1", "[0, inf)"]),
    (["optimizer.decay=[weights]"], ["optimizer.decay", "weights"]),
    (["loss=tet", "loss.lam=2"], ["loss.lam=2"]),
    (["trainer.check_val_every_n_epoch=3"], ["check_val_every_n_epoch=3", "epochs=20"]),
    (["threads=0"], ["threads=0"]),
    (["name=../../etc"], ["name=../../etc", "letters"]),
    (["optimizer.lr=0"], ["optimizer.lr=0", "(0, inf)"]),
    (["optimizer.decay=null"], ["optimizer.decay=null", "list"]),
    (["optimizer.decay=weight"], ["optimizer.decay='weight'", "list"]),
    (["trainer.accumulate_grad_batches=two"], ["trainer.accumulate_grad_batches='two'", "whole number"]),
    (["trainer.check_val_every_n_epoch=-1"], ["trainer.check_val_every_n_epoch=-1"]),
    (["trainer.limit_train_batches=0"], ["trainer.limit_train_batches=0"]),
    (["trainer.limit_val_batches=0"], ["trainer.limit_val_batches=0"]),
    (["trainer.max_epochs=5"], ["epochs=20"]),
    (["+trainer.max_steps=3"], ["max_steps"]),
    (["+trainer.max_time=00:00:00:05"], ["max_time", "epochs=..."]),
    (["+trainer.fast_dev_run=true"], ["fast_dev_run=True", "limit_train_batches"]),
    (["+trainer.val_check_interval=0.7"], ["val_check_interval=0.7", "check_val_every_n_epoch"]),
    (["+callbacks.timer={_target_:lightning.pytorch.callbacks.Timer,duration:5}"], ["callbacks.timer", "epochs=..."]),
    (["data.batch_size=7"], ["data.batch_size=7", "batch_size=64"]),
    (["backbone.T=3"], ["backbone.T=3", "T=4"]),
    (["backbone.num_classes=100"], ["backbone.num_classes=100", "data.num_classes=10"]),
    (["backbone.in_channels=3"], ["backbone.in_channels=3", "data.in_channels=1"]),
    (["neuron=glif", "neuron.T=9"], ["neuron.T=9", "T=4"]),
    (["neuron.engine=reference"], ["neuron.engine=reference", "engine=auto"]),
    (["data.augment=null"], ["data.augment=None", "augment"]),
    (["+sweep=klif_parts"], ["needs -m"]),
    (["+trainer.val_check_interval=1"], ["val_check_interval=1", "check_val_every_n_epoch"]),
    (["+trainer.num_sanity_val_steps=2"], ["num_sanity_val_steps", "no effect"]),
    (["trainer.gradient_clip_val=-1"], ["gradient_clip_val=-1", "(0, inf)"]),
    (
        ["+callbacks.a={_target_:lightning.pytorch.callbacks.GradientAccumulationScheduler,scheduling:{1:2}}"],
        ["callbacks.a", "accumulate_grad_batches"],
    ),
    (["callbacks.best=5"], ["callbacks.best", "_target_"]),
    (["row=5"], ["row=5"]),
    (["neuron=null"], ["neuron=null", "name"]),
    (["backbone=18"], ["backbone=18", "name"]),
    (["-m", "seed=0,1", "paths.output_dir=here"], ["paths.output_dir=here", "no job was started"]),
    (["-m", "--plan", "+callbacks.x={_target_:nope.A},null"], ["nope", "no job was started"]),
    (["paths.outputs=null"], ["paths.outputs=null"]),
    (["+callbacks.foo.bar=5"], ["callbacks.foo", "_target_"]),
    (["data=cifar10"], ["cifar-10-batches-py", "paths.data", "data=digits"]),
    (["data=mnist"], ["MNIST", "paths.data", "data=digits"]),
    (["resume=nowhere"], ["nowhere", "not the folder of a run"]),
    (["T"], ["T", "key=value"]),
    (["a b=3"], ["a b=3", "key=value"]),
    (["logger=null"], ["logger=null", "none, tensorboard, wandb"]),
    (["logger=null", "threads=1"], ["logger=null", "none, tensorboard, wandb"]),
    (["seed=1", "loss=null"], ["loss=null", "ce_smooth"]),
    (["neuron=false"], ["neuron=false", "arlif"]),
    (["neuron={a:1}"], ["neuron={a:1}", "arlif"]),
    (["neuron={}"], ["neuron={}", "arlif"]),
    (["data=[a]"], ["data=[a]", "digits"]),
    (["data=[digits]"], ["data=[digits]", "digits"]),
    (["data=[1,2]"], ["data=[1,2]", "digits"]),
    (["optimizer=1e-3"], ["optimizer=1e-3", "adamw"]),
    (["+optimizer=18"], ["+optimizer=18", "adamw"]),
    (["neuron/surrogate=2"], ["neuron/surrogate=2", "atan"]),
    (["neuron/surogate=atan"], ["neuron/surogate", "'neuron/surrogate'"]),
    (["+neuron=lif"], ["neuron", "chosen already"]),
    (["-m", "neuron=lif,18"], ["neuron=lif,18", "arlif"]),
    (["experiment=arlif/cifar10_resnet18_t5"], ["experiment=arlif/cifar10_resnet18_t5", "'arlif/cifar10_resnet18_t"]),
    (["neuron=lif,dalif"], ["neuron=lif,dalif", "python train.py -m neuron=lif,dalif"]),
    (["T=2", "optimizer.lr=0.1,0.2"], ["optimizer.lr=0.1,0.2", "python train.py -m T=2 optimizer.lr=0.1,0.2"]),
    (["+sweep=klif_parts", "T=2"], ["python train.py -m +sweep=klif_parts T=2"]),
    (["sweep=klif_parts"], ["+sweep=klif_parts"]),
    (["optimizer.min_lr=0.1"], ["optimizer.min_lr", "'schedule.min_lr'"]),
    (["threads=1" + "0" * 40], ["threads=", "null"]),
    (["data.name=nan"], ["data.name=nan", "name"]),
    (["neuron.name=''"], ["neuron.name=''", "name"]),
    (["neuron._partial_=3"], ["neuron._partial_=3", "true or false"]),
    (["optimizer._target_=5"], ["optimizer._target_=5", "class"]),
    (["loss._target_=nope.Loss"], ["loss", "nope"]),
    (["paths.data=5"], ["paths.data=5", "folder"]),
    (["optimizer.lr=inf"], ["optimizer.lr=inf", "(0, inf)"]),
    (["optimizer.eps=nan"], ["optimizer", "nan"]),
    (["trainer.devices=0"], ["trainer.devices", "0"]),
    (["trainer.devices=[]"], ["trainer.devices=[]"]),
    (["trainer.accelerator=gpuu"], ["trainer.accelerator='gpuu'", "'gpu'"]),
    (["trainer.strategy=nope"], ["trainer", "nope"]),
    (["trainer.gradient_clip_algorithm=max"], ["trainer.gradient_clip_algorithm='max'", "norm, value"]),
    (["trainer.limit_val_batches=1.5"], ["trainer.limit_val_batches=1.5", "(0, 1]"]),
    (["trainer.limit_train_batches=0.001"], ["trainer.limit_train_batches=0.001", "no batch of the 23"]),
    (["trainer.benchmark=maybe"], ["trainer.benchmark='maybe'", "true or false"]),
    (["+trainer.foo=1"], ["trainer", "foo"]),
    (["+trainer.overfit_batches=-1"], ["trainer", "overfit_batches"]),
    (["+trainer.enable_checkpointing=false"], ["trainer", "enable_checkpointing"]),
    (["callbacks.best.monitor=nope"], ["monitor=nope", "test/acc"]),
    (["callbacks.best.mode=most"], ["callbacks.best.mode='most'", "min, max"]),
    (["callbacks.best.save_top_k=-0.01"], ["callbacks.best.save_top_k=-0.01"]),
    (["+callbacks.stop={_target_:lightning.pytorch.callbacks.EarlyStopping,monitor:val/acc}"], ["val/acc", "test/acc"]),
    (["optimizer.lr_factors={gates:1}"], ["optimizer.lr_factors", "+optimizer.lr_factors.<key>"]),
    (["~trainer.precision"], ["trainer.precision", "missing"]),
    (["seed=null"], ["seed=null", "needs a value"]),
    (["paths.output_dir=/dev/null/x"], ["paths.output_dir=/dev/null/x"]),
    (["-m", "neuron=glob(pl*)", "T=0,1"], ["T=0", "neuron=plif"]),
    (["tags=[[1]]"], ["tags=", "list of names"]),
    (["logger.name=-1"], ["logger.name=-1", "a text or null"]),
    (["+trainer.log_every_n_steps=often"], ["trainer.log_every_n_steps='often'", "whole number"]),
    (["+trainer.sync_batchnorm=1"], ["trainer.sync_batchnorm=1", "true or false"]),
    (["callbacks.guard.every_n_steps=0"], ["every_n_steps=0", "whole number"]),
    (
        ["+callbacks.stop={_target_:lightning.pytorch.callbacks.EarlyStopping,monitor:test/acc,patience:x}"],
        ["patience='x'"],
    ),
    (
        ["+callbacks.lr={_target_:lightning.pytorch.callbacks.LearningRateMonitor,logging_interval:day}"],
        ["'step' or 'epoch'"],
    ),
    (["+callbacks.x={_target_:nope.X}"], ["nope"]),
    (["+logger.flush_sec=1"], ["logger.flush_sec", "no such option"]),
    (["logger=wandb", "+logger.foo=1"], ["logger.foo", "no such option"]),
]


def test_did_you_mean_reads_the_keys_of_what_was_chosen(command):
    done = command("train", "neuron=lif", "neuron.taau=3")
    assert "Did you mean 'neuron.tau'?" in done.err
    done = command("train", "neuron=lif", "neuron.squash=tanh")  # which the default neuron has
    assert done.code == 2
    assert "neuron.squash: there is no such key" in done.err
    assert "Did you mean 'neuron.squash'" not in done.err
    done = command("train", "optimizer=sgd", "optimizer.momentm=0")
    assert "Did you mean 'optimizer.momentum'?" in done.err


def test_no_message_names_a_config_that_nobody_typed(command, tmp_path):
    for name, text in {
        "data/blobs": 'defaults: ["/data/digits@_here_"]\nname: blobs\n',
        "experiment/mine": "# @package _global_\ndefaults:\n  - override /neuron: my_neuron\n",
    }.items():
        path = tmp_path / "mine" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    folder = ("--config-dir", str(tmp_path / "mine"))
    done = command("train", *folder, "data=blobs")
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


def test_the_traceback_is_there_for_who_asks(command, monkeypatch):
    from snnbench import cli
    from snnbench.errors import UserError
    from tests.conftest import CONFIGS

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
    assert done.code == 2, done.err
    assert "cannot write" in done.err
    assert "resume=" in done.err
    checkpoints = done.folder / "checkpoints"
    assert torch.load(checkpoints / "last.ckpt", weights_only=True)["epoch"] == 0
    assert all(path.suffix == ".ckpt" and not path.name.startswith(".") for path in checkpoints.iterdir())
