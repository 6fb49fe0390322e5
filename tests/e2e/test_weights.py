"""weights=...: a run that starts from the weights of another one, or of a file."""

import json
import shutil

import pytest
import torch
import yaml

from snnbench import weights
from snnbench.runs.read import read_run
from snnbench.runs.recipe import recipe_hash
from tests.conftest import TINY
from tests.e2e.test_resume import assert_same_run, checkpoint, start
from tests.lab import Stop, stopped_by

WORDS = (*TINY, "threads=1", "neuron=plif", "optimizer.lr=0.02")
FROZEN = "optimizer.lr=1e-12"  # so that a run ends with what it began with, but for the norms' statistics


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("source")
    assert start(outputs, *WORDS).wait(120) == 0
    (folder,) = outputs.glob("*/*")
    return folder


def network(folder, name: str = "last") -> dict:
    return {key.removeprefix("network."): value for key, value in checkpoint(folder, name)["state_dict"].items()}


def config(folder) -> dict:
    return yaml.safe_load((folder / "config.yaml").read_text())


def assert_began_with(folder, expected: dict) -> None:
    for key, value in network(folder).items():
        if "running" not in key and "num_batches" not in key:
            torch.testing.assert_close(value, expected[key], rtol=0, atol=1e-6)


def saved(source, path, form: str):
    """The source's weights in another form."""
    state = network(source)
    if form == "safetensors":
        from safetensors.torch import save_file

        save_file(state, path)
    else:
        torch.save({"model": state} if form == "model" else state, path)
    return path


@pytest.mark.parametrize("form", ["run", "ckpt", "safetensors", "tensors", "model"])
def test_it_starts_from_a_run_a_checkpoint_or_a_file_of_tensors(command, source, tmp_path, form):
    files = {"run": source, "ckpt": source / "checkpoints" / "best.ckpt"}
    path = files[form] if form in files else saved(source, tmp_path / f"w.{form}", form)
    done = command("train", *WORDS, FROZEN, f"weights={path}")
    assert done.code == 0, done.err
    assert_began_with(done.folder, network(source, "best" if form == "ckpt" else "last"))


def test_what_is_left_out_stays_as_it_is_initialised(command, source):
    spec = f"weights={{path: {source}, skip: [fc, units.*.neuron]}}"
    done = command("train", *WORDS, FROZEN, "data.num_classes=10", "neuron=lif", spec)
    assert done.code == 0, done.err
    ours, theirs = network(done.folder), network(source)
    assert torch.equal(ours["convs.0.weight"].round(decimals=5), theirs["convs.0.weight"].round(decimals=5))
    assert not torch.equal(ours["fc.weight"], theirs["fc.weight"])


@pytest.mark.parametrize(
    ("words", "needles"),
    [
        (
            ["backbone.width=8"],
            ["convs.0.weight is [4, 1, 3, 3] in the file and [8, 1, 3, 3] here", "and more", "skip:"],
        ),
        (["neuron=lif"], ["units.0.neuron.w is in the file alone"]),
        (["neuron=klif"], ["units.0.neuron.k is not in the file"]),
        (["-m", "backbone.width=4,8"], ["convs.0.weight", "no job was started"]),
        (["weights.skip=[head]"], ["head is nothing of this network", "convs, units, fc"]),
        (["weights=nowhere"], ["weights=nowhere", "is not there"]),
        (["weights=."], ["has no checkpoints/last.ckpt"]),
        (["weights=README.md"], ["README.md: is damaged, or holds no tensors"]),
        (["weights=7"], ["weights=7", "must be a run's folder"]),
        (["weights={path: x, skips: [fc]}"], ["must be a run's folder"]),
        (["weights={digest: x}"], ["must be a run's folder"]),
        (["weights={path: 3, skip: [], digest: x}"], ["must be a run's folder"]),
        (["weights={path: README.md, digest: abc}"], ["weights.digest='abc'", "is not that of README.md"]),
    ],
)
def test_what_does_not_fit_is_named_before_there_is_a_folder(command, source, words, needles):
    given = [f"weights={{path: {source}}}"] if not any(word.startswith("weights=") for word in words) else []
    given = [f"weights={{path: {source}, skip: [head]}}"] if words == ["weights.skip=[head]"] else given + words
    done = command("train", *(word for word in given if word == "-m"), *WORDS, *(w for w in given if w != "-m"))
    assert done.code == 2, done.err
    for needle in needles:
        assert needle in done.err
    assert len(done.err.strip().splitlines()) <= 2
    assert not done.outputs.exists()


def test_the_weights_are_part_of_the_recipe_and_their_path_is_not(command, source, tmp_path):
    shutil.copytree(source, tmp_path / "moved")
    first = command("train", "-m", *WORDS, f"weights={source}", "seed=0")
    again = command("train", "-m", *WORDS, f"weights={tmp_path / 'moved'}", "seed=0")
    assert "skipped, finished already" in again.err
    other = command("train", "-m", *WORDS, f"weights={source}/checkpoints/best.ckpt", "seed=0")
    fresh = command("train", "-m", *WORDS, "seed=0")
    assert len({recipe_hash(config(folder)) for folder in fresh.folders}) == len(fresh.folders) == 3, other.err
    assert config(first.folders[0])["weights"]["digest"] == weights.digest(source / "checkpoints" / "last.ckpt")


def with_result(source, folder, **values):
    """A copy of a run whose result.json says otherwise."""
    file = shutil.copytree(source, folder) / "result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    return folder


def test_weights_of_a_recipe_count_as_that_and_no_other_run_s_are_taken(command, source, tmp_path):
    wanted = read_run(source).recipe
    real = with_result(source, tmp_path / "real", provenance="real")
    done = command("train", *WORDS, FROZEN, f"weights={{path: {real}, recipe: '{wanted}'}}")
    assert done.code == 0, done.err
    assert_began_with(done.folder, network(source))
    given = config(done.folder)
    assert given["weights"]["digest"] == weights.digest(source / "checkpoints" / "last.ckpt")
    row = {**given, "weights": {"path": "elsewhere", "skip": [], "recipe": wanted}}
    other = {**given, "weights": {**given["weights"], "recipe": "0123456789"}}
    assert recipe_hash(row) == recipe_hash(given) != recipe_hash(other)
    short = with_result(source, tmp_path / "short", provenance="real", epochs={"planned": 1, "run": 1})
    known = f"'{wanted}', skip: [], digest: {given['weights']['digest']}"
    for path, recipe, needle in (
        (real, "'0123456789'", f"must be a finished run of this recipe; it is finished, of {wanted}"),
        (real, known.replace(wanted, "0123456789"), "must be a finished run of this recipe"),
        (saved(source, tmp_path / "w.tensors", "tensors"), f"'{wanted}'", "must be of a run"),
        (short, f"'{wanted}'", "has 1 of the 2 epochs of its schedule"),
        (source, f"'{wanted}'", "was trained on data that is subset"),
    ):
        refused = command(
            "train", *WORDS, f"weights={{path: {path}, recipe: {recipe}}}", f"paths.output_dir={tmp_path}/no"
        )
        assert refused.code == 2
        assert needle in refused.err


def test_a_run_goes_on_without_the_file_once_an_epoch_is_over_and_with_that_very_file_before(command, source, tmp_path):
    def cut(folder, epoch: int) -> None:
        with stopped_by(Stop(epoch, interrupt=True)):
            done = command("train", *WORDS, f"weights={tmp_path / 'w.ckpt'}", f"paths.output_dir={folder}")
            assert done.code == 130, done.err

    shutil.copy(source / "checkpoints" / "last.ckpt", tmp_path / "w.ckpt")
    assert command("train", *WORDS, f"weights={tmp_path / 'w.ckpt'}", f"paths.output_dir={tmp_path}/whole").code == 0
    cut(tmp_path / "early", 0)
    assert command("train", f"resume={tmp_path}/early").code == 0
    assert_same_run(tmp_path / "early", tmp_path / "whole")
    cut(tmp_path / "early2", 0)
    cut(tmp_path / "late", 1)
    shutil.copy(source / "checkpoints" / "best.ckpt", tmp_path / "w.ckpt")
    refused = command("train", f"resume={tmp_path}/early2")
    assert refused.code == 2
    assert "is not the file that this run began with" in refused.err
    (tmp_path / "w.ckpt").unlink()
    assert command("train", f"resume={tmp_path}/late").code == 0
    assert_same_run(tmp_path / "late", tmp_path / "whole")
