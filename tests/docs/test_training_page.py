"""The commands of docs/training.md, run as they stand there, with a smaller network."""

import re
import shlex

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "training.md").read_text()
COMMANDS = re.findall(r"^    python train.py (.*)$", PAGE, re.MULTILINE)
SMALL = ("epochs=2", "data.limit=64", "backbone.width=4", "T=2", "threads=1")


def size(words: list[str]) -> tuple[str, ...]:
    """What makes the command small, of that which it does not say itself, and which debug=... does not."""
    if any(word.startswith("resume=") for word in words):
        return ()
    if "-m" in words:
        return (*SMALL, "hydra.sweeper.n_trials=1")
    return SMALL[2:] if any(word.startswith("debug=") for word in words) else SMALL


@pytest.fixture
def place(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


@pytest.mark.parametrize("line", COMMANDS)
def test_it_runs(command, place, line):
    if "optuna" in line:
        pytest.importorskip("optuna")
    if "<run>" in line:
        first = command("train", *SMALL, "logger=none")
        line = line.replace("outputs/<name>/<run>", str(first.folder))
    words = shlex.split(line)
    done = (
        command("train", *words[:1], *size(words), *words[1:])
        if words[0] == "-m"
        else command("train", *words, *size(words))
    )
    assert done.code == 0, done.err


def test_each_part_of_the_page_has_its_command():
    assert len(COMMANDS) == 13
    for name in ("optimize", "lr_find", "callbacks", "weights", "resume", "debug", "logger"):
        assert f"{name}=" in PAGE
