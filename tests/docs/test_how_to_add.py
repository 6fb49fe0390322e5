"""docs/how-to-add.md, done once: each part is added in a folder of its own as the page says, and runs."""

import json
import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest

from scripts.tables import main as tables
from snnbench.kernels.engines import registry
from snnbench.results.dashboard import build
from snnbench.runs import quantities
from snnbench.runs.read import read_run
from snnbench.training import measure
from snnbench.training.loggers import outcome
from tests.conftest import CONFIGS, ROOT, TINY
from tests.docs.pages import sections

PAGE = sections("how-to-add.md")
IN_A_FOLDER = [title for title, section in PAGE.items() if section.commands]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The reader's folder, from which Python imports, and nothing of which stays imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    monkeypatch.setattr(registry, "_engines", dict(registry._engines))
    yield tmp_path
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.mark.parametrize("title", IN_A_FOLDER)
def test_a_part_is_added_as_the_page_says(title, folder, command):
    section = PAGE[title]
    section.write(folder)
    for words in section.commands:
        if words[:2] != ["snnbench", "train"]:
            runpy.run_path(words[1], run_name="__main__")
            continue
        done = command("train", *words[2:], "logger=none", "threads=1")
        assert done.code == 0, done.err
        result = done.result()
        assert result["status"] == "finished"
        own = {target: tag for target, tag in result["code"].items() if not target.startswith("snnbench.")}
        assert len(own) == 1, "code of one's own counts by a digest of its source"
        assert all(isinstance(tag, str) for tag in own.values())


def test_a_quantity_of_two_entries_is_recorded_and_shown_everywhere(command, monkeypatch):
    files = PAGE["A result quantity"].files
    for module, name, table in (
        (quantities, "runs/quantities", "QUANTITIES"),
        (measure, "training/measure", "MEASURES"),
    ):
        known = getattr(module, table)
        before = dict(known)
        exec(files[f"snnbench/{name}.py"], vars(module).copy())
        monkeypatch.setitem(known, "silent_layers", known.pop("silent_layers"))  # to be taken out again at the end
        assert before.keys() == known.keys() - {"silent_layers"}
    done = command("train", *TINY, "threads=1")
    assert done.code == 0, done.err
    assert done.result()["silent_layers"] in range(4)
    assert "layers that stay silent" in done.out
    page = build([done.outputs]).html
    data = json.loads(re.search(r'<script[^>]*id="data"[^>]*>(.*?)</script>', page, re.S)[1])
    assert "silent layers" in json.dumps(data)
    assert outcome(read_run(done.folder))["silent_layers"] == done.result()["silent_layers"]  # what wandb is told


def test_a_paper_with_a_row_stands_in_the_tables(tmp_path, capsys):
    configs = tmp_path / "configs"
    shutil.copytree(CONFIGS, configs)
    papers, row = PAGE["A paper with rows"].files.items()
    (tmp_path / row[0]).parent.mkdir()
    (tmp_path / row[0]).write_text(row[1])
    text = (configs / "papers.yaml").read_text()
    (configs / "papers.yaml").write_text(text.replace("papers:\n", "papers:\n" + papers[1], 1))
    (tmp_path / "outputs").mkdir()
    assert tables(["spots", str(tmp_path / "outputs"), "--configs", str(configs)]) == 0
    out = capsys.readouterr().out
    assert "digits_convnet_t2" in out
    assert "98.50" in out


def test_every_part_of_the_table_has_a_section_and_at_most_as_many_files_as_it_says():
    table = (line.split("|") for line in PAGE_TEXT.splitlines() if line.startswith("| ["))
    counts = {cells[1].strip()[1:].partition("]")[0]: int(cells[2]) for cells in table}
    assert {title[0].lower() + title[1:] for title in PAGE} == set(counts)
    for title, section in PAGE.items():
        files = [name for name in section.files if not name.startswith(("make_", "try_"))]
        assert 1 <= len(files) <= counts[title[0].lower() + title[1:]], title


PAGE_TEXT = (ROOT / "docs" / "how-to-add.md").read_text()
