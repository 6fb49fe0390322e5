"""The commands of docs/dashboard.md do what stands beside them."""

import re
import shlex

from scripts import dashboard, figures
from tests.conftest import ROOT
from tests.results.made_up_runs import run

PAGE = (ROOT / "docs" / "dashboard.md").read_text()


def test_its_commands_leave_the_page_and_the_figures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNNBENCH_OUTPUTS", "outputs")
    for T in (2, 4):
        run(tmp_path / "outputs", "lif", T)
    mains = {"dashboard": dashboard.main, "figures": figures.main}
    lines = re.findall(r"^    python scripts/(\w+)\.py(.*)$", PAGE, re.MULTILINE)
    assert [name for name, _ in lines] == ["dashboard", "dashboard", "figures"]
    for name, words in lines:
        assert mains[name](shlex.split(words, comments=True)) == 0
    assert (tmp_path / "outputs" / "dashboard.html").is_file()
    assert (tmp_path / "runs.html").is_file()
    assert (tmp_path / "outputs" / "figures" / "accuracy-cifar10-resnet20.png").is_file()
