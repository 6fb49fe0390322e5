"""A run goes on, and is measured again, on its own data only; wherever that lies, and whatever the environment says."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data.events import event_files
from tests.data.image_files import write_idx, write_mnist

WORDS = ("data=mnist", "data.verify=false", "backbone.width=4", "T=1", "epochs=1", "logger=none", "threads=1")
LABELS = Path("MNIST/raw/train-labels-idx1-ubyte")


def killed(folder: Path) -> None:
    path = folder / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": "running"}))


def swap_labels(root: Path) -> None:
    """Two labels, so that sizes and counts stay; and the time of the last change."""
    path = root / LABELS
    content, status = bytearray(path.read_bytes()), path.stat()
    content[8], content[9] = content[9], content[8]
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def root(tmp_path):
    write_mnist(tmp_path / "data")
    return tmp_path / "data"


def test_other_data_is_refused_and_begins_a_new_job(command, root, tmp_path):
    done = command("train", *WORDS)
    assert done.code == 0, done.err
    result = done.result()
    assert (result["provenance"], result["doubt"]) == ("unverified", "data.verify=false")
    found = result["fingerprint"]
    assert (found["source"], found["split"]) == ("MNIST", "official train/test")
    assert found["samples"] == {"train": 100, "test": 30}
    assert found["classes"] == {"train": [10] * 10, "test": [3] * 10}
    assert set(found["files"]["parts"]) == {path.name for path in (root / "MNIST/raw").iterdir()}

    same = command("train", "-m", "--plan", *WORDS, "seed=0")
    assert same.out.startswith("[1/1] done"), same.out
    copy = shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copy)
    same = command("train", "-m", "--plan", *WORDS, "seed=0", f"paths.data={copy}")
    assert same.out.startswith("[1/1] done"), "the same data elsewhere"
    assert command("eval", f"run={done.folder}", f"paths.data={copy}").code == 0

    swap_labels(root)
    killed(done.folder)
    before = (done.folder / "result.json").read_bytes()
    for words in (("train", f"resume={done.folder}"), ("eval", f"run={done.folder}")):
        refused = command(*words)
        assert refused.code == 2, refused.err
        message = " ".join(refused.err[refused.err.index("error: ") :].splitlines())
        assert message.startswith(f"error: {words[1]}: its data is not what it was: what is in {LABELS.name}")
        assert "begin a new run" in message
    assert (done.folder / "result.json").read_bytes() == before
    other = command("train", "-m", "--plan", *WORDS, "seed=0")
    assert other.out.startswith("[1/1] start"), other.out
    assert command("train", f"resume={done.folder}", f"paths.data={copy}").code == 0


def test_samples_that_are_gone_are_named(command, root):
    done = command("train", *WORDS)
    write_idx(root / "MNIST/raw/t10k-images-idx3-ubyte", np.zeros((20, 28, 28), np.uint8))
    write_idx(root / "MNIST/raw/t10k-labels-idx1-ubyte", (np.arange(20) % 10).astype(np.uint8))
    refused = command("eval", f"run={done.folder}")
    assert refused.code == 2
    assert "30 test samples then, 20 now" in refused.err


def test_a_folder_that_was_given_is_kept_against_the_environment(command, root, tmp_path, monkeypatch):
    other = tmp_path / "other"
    write_mnist(other, train=50)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNNBENCH_DATA", str(other))
    done = command("train", *WORDS, "paths.data=data")
    assert done.result()["fingerprint"]["samples"]["train"] == 100
    config = (done.folder / "config.yaml").read_text()
    assert f"data: {root}\n" in config
    assert f"root: {root}\n" in config
    monkeypatch.chdir("/")
    assert command("eval", f"run={done.folder}").code == 0
    killed(done.folder)
    resumed = command("train", f"resume={done.folder}")
    assert resumed.code == 0, resumed.err


def test_a_folder_given_to_the_data_set_alone_is_kept_and_can_be_given_anew(command, root, tmp_path, monkeypatch):
    monkeypatch.setenv("SNNBENCH_DATA", "/nowhere")
    done = command("train", *WORDS, f"data.root={root}")
    moved = root.rename(tmp_path / "moved")
    refused = command("eval", f"run={done.folder}", "paths.data=/elsewhere")
    assert refused.code == 2
    assert "no data in /elsewhere/MNIST" in refused.err
    assert command("eval", f"run={done.folder}", f"paths.data={moved}").code == 0


@pytest.mark.parametrize("word", ["paths.data=null", "paths.data=", "data.root=null"])
def test_no_folder_at_all_is_refused(command, word):
    refused = command("train", *WORDS, word)
    assert refused.code == 2
    assert refused.err.startswith(f"error: {word}")
    assert "folder" in refused.err


def test_a_folder_that_the_environment_gave_follows_it(command, root, tmp_path, monkeypatch):
    done = command("train", *WORDS)
    moved = root.rename(tmp_path / "moved")
    monkeypatch.setenv("SNNBENCH_DATA", str(moved))
    assert command("eval", f"run={done.folder}").code == 0


def test_a_run_that_tells_nothing_of_its_data_goes_on_and_says_so(command, root):
    done = command("train", *WORDS)
    result = done.result()
    del result["fingerprint"], result["doubt"]
    (done.folder / "result.json").write_text(json.dumps({**result, "status": "running"}))
    swap_labels(root)
    resumed = command("train", f"resume={done.folder}")
    assert resumed.code == 0, resumed.err
    assert "says nothing of its data" in resumed.err


def test_a_limit_of_before_took_other_samples(command):
    words = ("T=1", "epochs=1", "backbone.width=2", "data.limit=40", "logger=none", "threads=1")
    done = command("train", *words)
    assert command("train", "-m", "--plan", *words, "seed=0").out.startswith("[1/1] done")
    result = done.result()
    del result["fingerprint"], result["doubt"]
    (done.folder / "result.json").write_text(json.dumps(result))
    refused = command("eval", f"run={done.folder}")
    assert refused.code == 2
    assert "data.limit=40 took the first samples then" in refused.err
    assert command("train", "-m", "--plan", *words, "seed=0").out.startswith("[1/1] start")


def test_event_data_in_double_precision_and_with_edited_recordings(command, tmp_path):
    pytest.importorskip("tonic")
    files = event_files.write_nmnist(tmp_path / "data")
    words = ("data=nmnist", "data.subset=true", "augment=dvs_flip_wide_mix", "backbone.width=4", "T=2", "epochs=1")
    done = command("train", *words, "trainer.precision=64-true", "logger=none", "threads=1")
    assert done.code == 0, done.err
    path = files / "Test" / "3" / "00004.bin"
    path.write_bytes(event_files.nmnist_bytes(event_files.make_events(99, 200, size=34)))
    refused = command("eval", f"run={done.folder}")
    assert refused.code == 2
    assert "what is in Test" in refused.err


@pytest.mark.parametrize(
    ("word", "doubt"),
    [
        ("trainer.limit_val_batches=1", "trainer.limit_val_batches=1"),
        ("trainer.limit_train_batches=0.5", "trainer.limit_train_batches=0.5"),
        ("+trainer.limit_test_batches=2", "trainer.limit_test_batches=2"),
        ("+trainer.overfit_batches=2", "trainer.overfit_batches=2"),
        ("data.limit=99", "data.limit=99"),
        ("data.verify=false", "data.verify=false"),
    ],
)
def test_what_keeps_data_from_being_the_whole_is_recorded_and_said(command, word, doubt):
    from snnbench.results.selection import select
    from snnbench.runs.read import read_ledger

    done = command("train", "T=1", "epochs=1", "backbone.width=2", "logger=none", "threads=1", word)
    assert done.code == 0, done.err
    kind = "unverified" if "verify" in word else "subset"
    assert (done.result()["provenance"], done.result()["doubt"]) == (kind, doubt)
    ((_, reason),) = select(read_ledger([done.outputs])).left_out
    assert reason == f"not the real data: {kind} ({doubt})"
