"""docs/how-to-add.md, done once: each part is added in a folder of its own as the page says, and runs."""

import runpy
import sys

import pytest

from tests.conftest import ROOT
from tests.docs.pages import sections

PAGE = sections("how-to-add.md")
IN_A_FOLDER = [title for title, section in PAGE.items() if section.commands and "train.py" in section.commands[-1]]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The reader's folder, from which Python imports, and nothing of which stays imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("my_"):
            del sys.modules[name]


@pytest.mark.parametrize("title", IN_A_FOLDER)
def test_a_part_is_added_as_the_page_says(title, folder, command):
    section = PAGE[title]
    section.write(folder)
    for words in section.commands:
        if words[1] != "train.py":
            runpy.run_path(words[1], run_name="__main__")
            continue
        done = command("train", *words[2:], "logger=none", "threads=1")
        assert done.code == 0, done.err
        result = done.result()
        assert result["status"] == "finished"
        own = {target: tag for target, tag in result["code"].items() if target.startswith("my_")}
        assert len(own) == 1, "code of one's own counts by a digest of its source"
        assert all(isinstance(tag, str) for tag in own.values())


def test_every_part_of_the_table_has_a_section_and_at_most_as_many_files_as_it_says():
    table = (line.split("|") for line in PAGE_TEXT.splitlines() if line.startswith("| ["))
    counts = {cells[1].strip()[1:].partition("]")[0]: int(cells[2]) for cells in table}
    assert {title[0].lower() + title[1:] for title in PAGE} == set(counts)
    for title, section in PAGE.items():
        files = [name for name in section.files if not name.startswith(("make_", "try_"))]
        assert 1 <= len(files) <= counts[title[0].lower() + title[1:]], title


PAGE_TEXT = (ROOT / "docs" / "how-to-add.md").read_text()
