"""Whatever the README shows works as it stands there."""

import re
import sys

import pytest
import torch
import yaml

from snnbench.results.rows import read_registry, read_rows
from tests.conftest import ROOT, TINY
from tests.test_configs import compose

README = (ROOT / "README.md").read_text()
PAGES = [README, *((ROOT / "docs" / f"{name}.md").read_text() for name in ("results", "runs", "speed", "gpu"))]


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", README, re.DOTALL).group(1)


def commands(script: str) -> list[str]:
    lines = [found for page in PAGES for found in re.findall(rf"^    python {script} (.*?)\s*(?:#.*)?$", page, re.M)]
    return [line for line in lines if "<" not in line]


@pytest.mark.parametrize("command", commands("train.py"))
def test_training_commands_compose(command):
    words = [word for word in command.split() if not word.startswith("-") and word != "job"]
    for word in (word.split(",")[0] if "=" in word else word for word in words):
        assert "=" in word
    compose(*(word.split(",")[0] for word in words))


def test_there_are_commands_and_every_script_exists():
    assert len(commands("train.py")) >= 5
    for path in re.findall(r"python (scripts/\w+\.py|\w+\.py)", "".join(PAGES)):
        assert (ROOT / path).is_file(), path
    targets = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make ([a-z-]+)", README):
        assert f"\n{target}:" in targets, target


def test_the_rows_are_counted_by_what_is_proved_of_them():
    rows, registry = read_rows()[0].values(), read_registry()
    passed = {"network", "loss", "gradients"}
    trained = passed | {"initialization", "optimizer", "schedule", "settings"}
    compared = [(row.recipe, set(row.proof.compared) if row.proof else set()) for row in rows]
    for word in registry.recipes:
        own = [parts for recipe, parts in compared if recipe == word]
        counts = (len(own), *(sum(parts >= least for parts in own) for least in (passed, trained)))
        assert f"\n| {word} | {' | '.join(map(str, counts))} |" in README
    assert f"{len(rows)} rows and {len(registry.quoted)} quoted ones" in README
    assert f"{sum(row.acc is None for row in rows)} of the {len(rows)} have no reported value" in README


@pytest.mark.parametrize("page", ["README.md", *sorted(path.name for path in (ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(page):
    path = ROOT / page if page == "README.md" else ROOT / "docs" / page
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(), flags=re.S)
    titles = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.M)}
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in titles, target
        elif not target.startswith("http"):
            assert (path.parent / target.partition("#")[0]).exists(), target


@pytest.fixture
def adaptive(tmp_path, monkeypatch):
    (tmp_path / "mypackage.py").write_text(block("python"))
    (tmp_path / "neuron").mkdir()
    (tmp_path / "neuron" / "adaptive.yaml").write_text(block("yaml"))
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("mypackage", None)
    import mypackage

    return mypackage.Adaptive


def test_the_neuron_of_the_readme_equals_its_own_reference(adaptive):
    torch.manual_seed(0)
    x = torch.randn(4, 3, 8, 5, 5, requires_grad=True)
    g = torch.randn(4, 3, 8, 5, 5)
    found = {}
    for engine in ("reference", "auto"):
        neuron = adaptive(channels=8, engine=engine)
        spikes = neuron(x)
        found[engine] = (spikes, *torch.autograd.grad(spikes, [x, neuron.d], g))
    assert found["auto"][0].mean() > 0.05
    for ours, theirs in zip(found["auto"], found["reference"], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_the_neuron_of_the_readme_trains_by_name(adaptive, command, tmp_path):
    assert yaml.safe_load(block("yaml"))["_target_"] == "mypackage.Adaptive"
    done = command("train", *TINY, "neuron=adaptive", f"hydra.searchpath=[file://{tmp_path}]")
    assert done.code == 0, done.err
    assert done.result()["neuron"] == "adaptive"
    assert {quantity for layer in done.result()["layers"].values() for quantity in layer} >= {"keep.mean", "keep.std"}
