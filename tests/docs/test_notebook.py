"""docs/notebook.md, from its first line to its last."""

import re
import shlex

import pytest
import torch

from tests.conftest import ROOT, TINY

PAGE = (ROOT / "docs" / "notebook.md").read_text()
BLOCKS = re.findall(r"^```(python|bash)\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture
def page(command, tmp_path, monkeypatch):
    """The names that the page's blocks leave, and the command's outcome."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    names: dict = {}
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, "docs/notebook.md", "exec"), names)
            continue
        (words,) = (shlex.split(line) for line in text.splitlines())
        assert words[:2] == ["snnbench", "train"]
        assert command("train", *words[2:], *TINY[2:3], "logger=none", "threads=1").code == 0
    return names


def test_every_block_does_what_the_page_says(page):
    assert page["traces"].keys() == page["model"].layers.keys()
    assert page["logits"].shape == (4, 2, 10)
    right = 100 * torch.cat(page["right"]).mean().item()
    assert right == pytest.approx(page["model"].result["accuracy"]["last_epoch"], abs=1e-4)
    assert page["first"].shape[:2] == (4, len(page["labels"]))
    recorded = page["model"].result["layers"]
    assert all(0 < rate < 1 for rate in page["rates"].values())
    assert page["rates"].keys() == recorded.keys()
