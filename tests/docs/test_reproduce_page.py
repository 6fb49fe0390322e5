"""docs/reproduce-a-row.md: its commands run, on runs made up of the authors' own curve, and say what the page says."""

import pytest

from scripts import dashboard, figures, tables
from snnbench.official import curve_of
from snnbench.runs.recipe import recipe_hash
from tests.docs.pages import sections
from tests.results.made_up_runs import of_row
from tests.test_configs import compose

PAGE = sections("reproduce-a-row.md")
ROW = "plif/fashion_mnist_plifnet_t8_lif"
SCRIPTS = {"scripts/tables.py": tables, "scripts/figures.py": figures, "scripts/dashboard.py": dashboard}


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("SNNBENCH_OUTPUTS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    of_row(tmp_path, ROW, list(curve_of(ROW).accuracy))
    return tmp_path


def said(title, capsys):
    """What the scripts of a section print, one after the other."""
    found = []
    for words in PAGE[title].commands:
        if words[1] in SCRIPTS:
            code = SCRIPTS[words[1]].main(words[2:])
            found.append((code, capsys.readouterr().out))
    return found


def test_a_row_is_found(outputs, capsys):
    (listed, shown) = said("Find it", capsys)
    assert (listed[0], shown[0]) == (0, 0)
    assert ROW in listed[1]
    assert "proved in part" in shown[1]


def test_it_is_planned(command):
    (words,) = PAGE["Run it"].commands
    done = command("train", *words[2:])
    assert done.code == 0
    assert done.out.count("] start: ") == 3
    assert not done.folders


def test_what_may_be_added_is_no_other_recipe():
    own = recipe_hash(compose(f"experiment={ROW}"))
    for word in ("logger=none", "paths.data=elsewhere", "data.num_workers=0", "memory=bits"):
        assert recipe_hash(compose(f"experiment={ROW}", word)) == own, word
    others = ("T=4", "batch_size=8", "neuron=plif", "compile=true", "engine=reference", "trainer.precision=16-mixed")
    for word in others:
        assert recipe_hash(compose(f"experiment={ROW}", word)) != own, word


def test_the_curve_agrees_with_itself(outputs, capsys):
    ((code, out),) = said("Look early", capsys)
    assert code == 0
    assert "agrees" in " ".join(out.splitlines()[-3:])


def test_the_result_is_compared_and_published(outputs, capsys):
    (shown, checked) = said("Compare the result", capsys)
    assert (shown[0], checked[0]) == (0, 0)
    assert "reproduced" in shown[1]
    (latex, drawn, page) = said("Publish it", capsys)
    assert (latex[0], drawn[0], page[0]) == (0, 0, 0)
    assert r"\toprule" in latex[1]
    assert list(outputs.glob("figures/*.png"))
    assert (outputs / "dashboard.html").exists()
