"""Which code a run's numbers come from: published classes by revision, all other code by its source."""

import subprocess
import sys
from pathlib import Path

import pytest

from snnbench.config import CONFIGS
from snnbench.errors import UserError
from snnbench.files import read_yaml
from snnbench.runs import code


def test_the_published_code_is_the_code():
    published = read_yaml(code.LOCK)
    targets = code.own_targets(CONFIGS)
    stale = [t for t in targets if published.get(t.rpartition(".")[2], {}).get("source") != code.digest(t)]
    assert stale == [], "has a number changed? See python scripts/publish_code.py --help"
    assert len(published) == len(targets)


PACKAGE = {
    "__init__.py": "from mine.cells import Mine\n",
    "cells.py": "from mine.base import scale\n\n\nclass Mine:\n    def step(self, x):\n        return scale(x)\n",
    "base.py": "import math\n\n\ndef scale(x):\n    return 2 * x\n",
    "other.py": "def unused():\n    return 1\n",
}


@pytest.fixture
def digest_of_mine(tmp_path):
    """The digest of mine.Mine, in a new process, after some of its files were replaced."""

    def digest(rename: str = "mine", **files: str) -> str:
        folder = tmp_path / rename
        folder.mkdir(exist_ok=True)
        for name, text in {**PACKAGE, **{f"{key}.py": value for key, value in files.items()}}.items():
            (folder / name).write_text(text.replace("mine", rename))
        text = (
            f"from snnbench.runs.code import code_of; print(code_of({{'_target_': '{rename}.Mine'}})['{rename}.Mine'])"
        )
        return subprocess.run(
            [sys.executable, "-c", text], env={"PYTHONPATH": f"{tmp_path}:{Path.cwd()}"}, text=True, check=True,
            capture_output=True,
        ).stdout  # fmt: skip

    return digest


def test_the_source_of_ones_own_class_counts_with_what_it_imports(digest_of_mine):
    before = digest_of_mine()
    assert digest_of_mine(base="import math\n\n\ndef scale(x):\n    return 3 * x\n") != before
    assert digest_of_mine(cells=PACKAGE["cells.py"].replace("scale(x)\n", "-scale(x)\n")) != before


def test_an_alias_counts_with_the_module_that_names_it(digest_of_mine):
    alias = "import functools\nfrom mine.cells import Mine as Cell\nMine = functools.partial(Cell, k={})\n"
    assert digest_of_mine(__init__=alias.format(1)) != digest_of_mine(__init__=alias.format(2))


def test_comments_formatting_names_of_modules_and_unused_modules_do_not_count(digest_of_mine):
    before = digest_of_mine()
    commented = (
        '"""Another doc."""\n# why\nimport math\n\n\n\ndef scale(x):\n    """Twice."""\n    return (2 *\n        x)\n'
    )
    assert digest_of_mine(base=commented) == before
    assert digest_of_mine(other="def unused():\n    return 2\n") == before


def test_an_unknown_class_is_named():
    with pytest.raises(UserError, match=r"no_such_package\.Neuron"):
        code.digest("no_such_package.Neuron")
    with pytest.raises(UserError, match="Foo"):
        code.publish(["Foo"], CONFIGS, Path("unwritten"))
