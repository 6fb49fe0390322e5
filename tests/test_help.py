"""--help: a page that fits, true in what it names, and more on demand."""

import itertools
import re

import pytest

from snnbench.config import register_schema
from snnbench.errors import UserError
from snnbench.guide.text import help_text
from snnbench.guide.words import EVERYDAY, GROUPS, KEYS
from snnbench.overrides import CommandLine
from tests.conftest import CONFIGS

FOLDERS = {str(path.parent.relative_to(CONFIGS)) for path in CONFIGS.glob("*/**/*.yaml")}
SHOWN = {"experiment" if name.startswith("experiment/") else name for name in FOLDERS if not name.endswith("/default")}


def said(*words, script="train"):
    return help_text(["--help", *words], CONFIGS, script)


@pytest.fixture(autouse=True)
def eighty(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("script", ["train", "eval"])
def test_the_page_fits_a_terminal_and_is_plain(monkeypatch, script, width):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = said(script=script).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= 45
    assert "\n".join(lines).isascii()
    assert lines[0].startswith("python ")
    assert f"{script}.py " in lines[0]


def test_the_page_of_training_has_each_group_in_a_line_with_its_default_first():
    page = said()
    groups = {line.split()[0]: line for line in page.splitlines() if re.match(r"  [a-z/]+ {2,}", line)}
    assert set(groups) >= SHOWN
    assert "data set: digits, cifar10" in groups["data"]
    assert groups["neuron"].endswith(f"({len(list((CONFIGS / 'neuron').glob('*.yaml')))})")
    assert "ready ones" in groups["sweep"]
    assert "python train.py neuron=dalif data=cifar100 T=2" in page


def test_what_the_words_name_is_there():
    register_schema()
    keys = {name: set(CommandLine(name, (CONFIGS,)).keys()) for name in ("train", "eval")}
    assert set(EVERYDAY) <= keys["train"]
    assert set(KEYS) <= keys["train"] | keys["eval"]
    assert {key for key in keys["eval"] if key != "paths"} <= set(KEYS)
    assert set(GROUPS) <= FOLDERS | {"experiment"}


def test_eval_has_its_own_page():
    page = said(script="eval")
    assert "Groups" not in page
    for key in ("run=", "ckpt=", "engine=", "accelerator=", "energy=", "row=", "drop=", "neuron=", "paths.data="):
        assert f"  {key}..." in page
    assert "single keys" in said("neuron", script="eval")
    with pytest.raises(UserError, match="no group and no key"):
        said("epochs", script="eval")


@pytest.mark.parametrize("group", sorted(SHOWN - {"experiment", "recipe"}))
def test_a_group_lists_each_option_in_a_line_that_fits(group):
    lines = said(group).splitlines()
    for path in (CONFIGS / group).glob("*.yaml"):
        assert any(re.match(rf"  {path.stem}( |$)", line) for line in lines), path.stem
    listed = lines[: lines.index("") if "" in lines else None]
    assert max(map(len, listed)) <= 80


def test_keys_are_those_of_what_is_chosen():
    assert "alpha_init" in said("keys")
    lif = said("keys", "neuron=lif", "T=7")
    assert "  tau: 2.0" in lif
    assert "alpha_init" not in lif
    assert re.search(r"^T: 7 +# timesteps$", lif, re.MULTILINE)
    assert said("optimizer.lr") == "optimizer:\n  lr: 0.005"
    chosen = said("neuron=plif")
    assert chosen.startswith("Parametric LIF")
    assert "sliding_psn" not in chosen
    assert "_target_: snnbench.neurons.PLIF" in chosen


def test_rows_are_listed_and_chosen():
    lines = said("rows", "dalif/cifar100*", "klif").splitlines()
    rows = [line.split()[0] for line in lines if re.match(r"  (dalif|klif)/", line)]
    wanted = [*(CONFIGS / "experiment/dalif").glob("cifar100*"), *(CONFIGS / "experiment/klif").glob("*")]
    assert sorted(rows) == sorted(f"{path.parent.name}/{path.stem}" for path in wanted)
    assert max(map(len, lines)) <= 80


def test_a_topic_that_is_none_is_answered_by_the_nearest():
    for word, near in (("optmizer", "optimizer"), ("nueron", "neuron"), ("lr", "optimizer.lr"), ("rwos", "rows")):
        with pytest.raises(UserError, match=f"Did you mean '{near}'"):
            said(word)
    with pytest.raises(UserError, match="Did you mean 'dalif'"):
        said("rows", "dalfi")


def test_a_comment_is_broken_by_the_terminal_alone(monkeypatch):
    lines = said("neuron=dalif").split("\n\n")[0].splitlines()
    assert max(map(len, lines)) <= 80
    assert next(line for line in said("neuron=arlif").splitlines() if "All defaults" in line).startswith("All defaults")
    assert "f = tanh, v_th 0.5, strict firing, tanh surrogate with k 3" in " ".join(lines)
    for line, after in itertools.pairwise(lines):  # else a paragraph ends
        assert len(line) + len(after.split()[0]) >= 80 or line.endswith((".", ":")), line


def test_help_is_had_from_the_command_itself(command, tmp_path):
    path = tmp_path / "mine" / "neuron" / "my_own.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("# Mine. It is good.\nname: my_own\n")
    done = command("train", "--config-dir", str(tmp_path / "mine"), "--help", "neuron")
    assert (done.code, done.err) == (0, "")
    assert re.search(r"^  my_own +Mine$", done.out, re.MULTILINE)
    assert command("train", "-m", "--help").out == command("train", "-h").out != ""
    done = command("train", "--help", "keys", "neuron=lfi")
    assert done.code == 2
    assert done.err.startswith("error: neuron=lfi: must be the name of a config of neuron. Did you mean 'lif'?")
    assert done.folders == []
