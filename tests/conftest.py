"""Fixtures that several folders of tests share."""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tests import rows
from tests.lab import _runs, lab, tables  # noqa: F401  (fixtures)

ROOT = Path(__file__).parent.parent
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.pop("COLUMNS", None)  # of which pytest's workers are given some: what is piped may be of any width
CONFIGS = ROOT / "configs"


@dataclass
class Outcome:
    """What a command left: exit code, output, and the run folders it made."""

    code: int
    out: str
    err: str
    outputs: Path

    @property
    def folders(self) -> list[Path]:
        return sorted(path.parent for path in self.outputs.glob("*/*/config.yaml"))

    @property
    def folder(self) -> Path:
        (folder,) = self.folders
        return folder

    def result(self) -> dict:
        return json.loads((self.folder / "result.json").read_text())


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


TINY = ("epochs=2", "data.limit=128", "backbone.width=4", "T=2", "logger=none")


@pytest.fixture(scope="session", autouse=True)
def _shared_rows(tmp_path_factory: pytest.TempPathFactory) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:  # whose folders lie beside each other
        rows.shared.append(tmp_path_factory.getbasetemp().parent)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Iterator[Callable]:
    """`command("train", "T=2", ...)`: runs train.py or eval.py in this process, with outputs in tmp_path."""
    from snnbench import cli

    outputs = tmp_path / "outputs"
    monkeypatch.setenv("SNNBENCH_OUTPUTS", str(outputs))
    monkeypatch.setenv("SNNBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    threads = torch.get_num_threads()

    def run(script: str, *args: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *args])
        capfd.readouterr()
        os.environ.pop("HYDRA_FULL_ERROR", None)
        try:
            code = cli.main(_tasks()[script], CONFIGS, script)
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else 1
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err, outputs)

    yield run
    torch.set_num_threads(threads)


def _tasks() -> dict[str, Callable]:
    from snnbench.training.evaluate import evaluate
    from snnbench.training.run import train

    return {"train": train, "eval": evaluate}
