"""Real short runs of a row of a made-up paper, and what else lies about in a folder of outputs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import pytest
import yaml

from snnbench import cli
from snnbench.config import CONFIGS

ROW = "demo/digits_convnet_t2"
REPORTED = 90.0
ROW_FILE = """# @package _global_
defaults:
  - override /data: digits
  - override /neuron: lif
T: 2
epochs: 3
batch_size: 128
engine: reference
backbone:
  width: 4
row:
  id: demo/digits_convnet_t2
  paper: demo
  table: 1
  reported: {acc: 90.0, protocol: best_test_epoch, source: paper}
  tolerance: 1.0
  recipe: exact
  parameters: null
  milestones: {1: 50.0, 2: 60.0}
  milestone_tolerance: 3.0
"""


class Stop(lightning.Callback):
    """Ends training when `epoch` starts, as Ctrl-C or as a failure."""

    def __init__(self, epoch: int, interrupt: bool) -> None:
        self.epoch, self.interrupt = epoch, interrupt

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            raise KeyboardInterrupt if self.interrupt else RuntimeError("the machine is on fire")


@contextlib.contextmanager
def stopped_by(stop: lightning.Callback) -> Iterator[None]:
    """Inside, each training has `stop` at its side, which is no part of its config, as no fire or Ctrl-C is."""
    from snnbench.training import build  # here: other tests run where not all that training needs is installed

    made = build.build_trainer

    def build_trainer(*given: Any, **more: Any) -> lightning.Trainer:
        trainer = made(*given, **more)
        trainer.callbacks.append(stop)  # type: ignore[attr-defined]
        return trainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "build_trainer", build_trainer)
        yield


class Half(lightning.Callback):
    """Ends training within an epoch."""

    def on_train_batch_end(self, trainer: lightning.Trainer, *others: object) -> None:
        trainer.should_stop = True


class Fail(lightning.Callback):
    """Ends one process of a run: by an error of its own, or as if it was killed."""

    def __init__(self, rank: int, epoch: int, kill: bool = False) -> None:
        self.rank, self.epoch, self.kill = rank, epoch, kill

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if (trainer.global_rank, trainer.current_epoch) == (self.rank, self.epoch):
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise ZeroDivisionError("of one process")


@dataclass
class Lab:
    """Configs with a row of their own, outputs, and the folders of the runs by what they are."""

    configs: Path
    outputs: Path
    runs: dict[str, Path]

    @property
    def row_file(self) -> Path:
        return self.configs / "experiment" / f"{ROW}.yaml"

    def edit_row(self, old: str, new: str) -> None:
        text = self.row_file.read_text()
        assert old in text
        self.row_file.write_text(text.replace(old, new))

    def result(self, run: str) -> dict:
        return json.loads((self.runs[run] / "result.json").read_text())

    def edit_result(self, run: str, **values: object) -> None:
        (self.runs[run] / "result.json").write_text(json.dumps({**self.result(run), **values}))

    def best(self, run: str) -> float:
        return self.result(run)["accuracy"]["best_test_epoch"]["acc"]


RUNS = {
    "seed0": ("seed=0",),
    "seed1": ("seed=1", "tags=[x]", "data.num_workers=1", "data.eval_batch_size=64"),
    "seed0_again": ("seed=0", "name=other_name"),
    "other_recipe": ("seed=2", "optimizer.lr=0.001"),
    "failed": ("seed=3",),
    "interrupted": ("seed=4",),
    "resumed": ("seed=5",),
    "short": ("seed=6", "epochs=2", "schedule.epochs=3"),
    "subset": ("seed=7", "data.limit=64"),
    "no_row": ("seed=0", "row=null", "name=mine"),
}


STOPS = {"failed": Stop(1, interrupt=False), "interrupted": Stop(2, interrupt=True), "resumed": Stop(1, interrupt=True)}


@pytest.fixture(scope="session")
def _runs(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    root = tmp_path_factory.mktemp("lab")
    lab = Lab(root / "configs", root / "outputs", {})
    shutil.copytree(CONFIGS, lab.configs, ignore=shutil.ignore_patterns("clif", "plif", "psn", "glif"))
    lab.row_file.parent.mkdir()
    lab.row_file.write_text(ROW_FILE)
    papers = yaml.safe_load((lab.configs / "papers.yaml").read_text())
    papers["papers"]["demo"] = {"title": "Demo & test", "arxiv": None, "year": 2000, "repository": None}
    papers["not_runnable"].append(["demo", "digits", "BigNet", "Magic | more", 4, 99.0, "secondary", "network"])
    (lab.configs / "papers.yaml").write_text(yaml.safe_dump(papers))
    with pytest.MonkeyPatch.context() as patch:
        for name, options in RUNS.items():
            folder = lab.outputs / name / "run"
            words = ["train.py", f"experiment={ROW}", f"paths.output_dir={folder}", *options]
            _train(patch, lab, words, STOPS.get(name))
            lab.runs[name] = folder
        _train(patch, lab, ["train.py", f"resume={lab.runs['resumed']}"])
    return lab


def _train(patch: pytest.MonkeyPatch, lab: Lab, words: list[str], stop: Stop | None = None) -> None:
    """Run train.py in this process."""
    patch.setattr(sys, "argv", words)
    patch.delenv("HYDRA_FULL_ERROR", raising=False)
    from snnbench.training.run import train  # here: other tests run where not all that training needs is installed

    with stopped_by(stop) if stop else contextlib.nullcontext():
        cli.main(train, lab.configs, "train")


@pytest.fixture
def lab(_runs: Lab, tmp_path: Path) -> Lab:
    """The runs, copied to a folder of the test's own, so that they can be damaged."""
    shutil.copytree(_runs.outputs, tmp_path / "outputs")
    shutil.copytree(_runs.configs, tmp_path / "configs")
    runs = {name: tmp_path / "outputs" / name / "run" for name in _runs.runs}
    return Lab(tmp_path / "configs", tmp_path / "outputs", runs)


@pytest.fixture
def tables(lab: Lab, capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str, str]]:
    """`tables("demo", "--format", "md")`: exit code, output and errors of scripts/tables.py on the lab's outputs."""
    from scripts.tables import main

    def run(*words: str, folders: tuple[Path, ...] | None = None) -> tuple[int, str, str]:
        paths = [str(folder) for folder in (folders or (lab.outputs,))]
        first = [word for word in words if not word.startswith("-")][:1] if not words or words[0][0] != "-" else []
        code = main([*first, *paths, *words[len(first) :], "--configs", str(lab.configs)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
