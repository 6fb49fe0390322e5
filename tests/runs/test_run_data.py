"""What is believed of the data of runs, of today and of before data had a fingerprint."""

from __future__ import annotations

import json

import pytest
import yaml

from snnbench.results.selection import not_real, select
from snnbench.runs.fingerprint import differences, same_files
from snnbench.runs.read import read_ledger, read_run
from tests.results import made_up_runs

EVENTS = {
    "_target_": "snnbench.data.events.EventData",
    "sources": {"ibm": {"_target_": "snnbench.data.events.IBMGesture"}, "mine": {"_target_": "my.Source"}},
    "source": "ibm",
}
IMAGES = {"_target_": "snnbench.data.ImageData", "source": {"_target_": "snnbench.data.images.sources.CIFAR10"}}


@pytest.mark.parametrize(
    ("data", "trainer", "provenance", "doubt"),
    [
        (IMAGES, {}, "real", ""),
        (IMAGES, {"limit_val_batches": 1.0, "limit_train_batches": 1.0, "overfit_batches": 0.0}, "real", ""),
        (IMAGES, {"limit_val_batches": 2}, "subset", "trainer.limit_val_batches=2"),
        (IMAGES, {"limit_val_batches": 1}, "subset", "trainer.limit_val_batches=1"),
        (IMAGES, {"limit_test_batches": 0.5}, "subset", "trainer.limit_test_batches=0.5"),
        (IMAGES, {"limit_train_batches": 0.25}, "subset", "trainer.limit_train_batches=0.25"),
        (IMAGES, {"overfit_batches": 0.1}, "subset", "trainer.overfit_batches=0.1"),
        (IMAGES, {"fast_dev_run": True}, "subset", "trainer.fast_dev_run=True"),
        (IMAGES | {"source": {"_target_": "my.Npz"}}, {}, "unverified", "my.Npz proved nothing"),
        (IMAGES | {"_target_": "my.Data"}, {}, "unverified", "my.Data proved nothing"),
        (EVENTS, {}, "real", ""),
        (EVENTS | {"source": "mine"}, {}, "unverified", "my.Source proved nothing"),
    ],
)
def test_an_older_run_is_believed_what_it_can_have_proved(data, trainer, provenance, doubt, tmp_path):
    run = read_run(made_up_runs.run(tmp_path, data=data, trainer=trainer))
    assert (run.provenance, run.doubt) == (provenance, doubt)
    said = None if provenance == "real" else f"not the real data: {provenance} ({doubt})"
    assert not_real(run) == said


def test_a_run_of_today_is_believed_what_it_says(tmp_path):
    folder = made_up_runs.run(tmp_path, data=IMAGES | {"_target_": "my.Data"})
    made_up_runs.edit(folder, fingerprint=None, doubt="")
    assert read_run(folder).provenance == "real"
    made_up_runs.edit(folder, provenance="subset", doubt="data.limit=3")
    assert not_real(read_run(folder)) == "not the real data: subset (data.limit=3)"


def with_files(folder, content, root):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["data"] |= {"root": str(root)}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    files = {"count": 1, "bytes": 1, "index": "0", "content": content, "parts": {}, "published": False}
    made_up_runs.edit(folder, provenance="unverified", doubt="", fingerprint={"files": files} if content else None)


def test_unverified_data_is_told_by_its_files_and_without_them_by_its_folder(tmp_path):
    folders = [made_up_runs.run(tmp_path) for _ in range(5)]
    places = (("ab", "x"), ("ab", "y"), ("cd", "x"), (None, "x"), (None, "y"))
    for folder, (content, root) in zip(folders, places, strict=True):
        with_files(folder, content, tmp_path / root)
    found = {run.folder: run.data for run in read_ledger([tmp_path]).runs}
    same = [found[folder] for folder in folders]
    assert same[0] == same[1]
    assert len(set(same)) == 4
    assert len(select(read_ledger([tmp_path]), any_data=True).counted) == 4


WHOLE = {
    "source": "A",
    "split": "official",
    "samples": {"train": 4, "test": 2},
    "classes": {"train": [2, 2], "test": [1, 1]},
    "labels": "l",
    "files": {"count": 3, "bytes": 9, "index": "i", "content": "c", "parts": {"a": "1", "b": "2"}, "published": False},
}


def changed(**values):
    return json.loads(json.dumps({**WHOLE, **values}))


def files(**values):
    return changed(files={**WHOLE["files"], **values})


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (changed(), []),
        (changed(source="B"), ["source: A then, B now"]),
        (changed(split="random"), ["split: official then, random now"]),
        (changed(samples={"train": 4, "test": 1}), ["2 test samples then, 1 now"]),
        (changed(classes={"train": [1, 3], "test": [1, 1]}), ["2 train samples of class 0 then, 1 now"]),
        (changed(classes={"train": [2, 2], "test": [1]}), ["1 test samples of class 1 then, 0 now"]),
        (changed(labels="m"), ["the labels"]),
        (files(content="d"), ["what is in its files"]),
        (files(content="d", parts={"a": "1", "b": "3"}), ["what is in b"]),
        (files(content="d", parts={"a": "1"}), ["what is in b"]),
        (files(content="d", parts={}), ["what is in its files"]),
        (files(index="j"), []),
        (files(content=None, bytes=8), ["9 bytes then, 8 now"]),
        (files(content=None, count=2), ["3 files then, 2 now"]),
    ],
)
def test_what_differs_is_named(now, words):
    assert differences(WHOLE, now) == words
    assert differences(now, now) == []
    other_files = any(part in word for word in words for part in ("files", "bytes", "what is in"))
    assert same_files(WHOLE["files"], now["files"]) != other_files


def test_published_files_are_the_same_wherever_and_whenever_they_were_copied():
    unread = files(content=None, index="j")
    assert "times of its files" in differences(WHOLE, unread)[0]
    proved = {**WHOLE["files"], "published": True}
    assert differences(changed(files=proved), files(content=None, index="j", published=True)) == []


DAMAGED = [None, [], "x", {}, {"files": 3}, {"files": {"content": 5}, "samples": []}, {"classes": 1}]


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_fingerprint_stops_nobody(damaged, tmp_path):
    assert isinstance(differences(damaged, WHOLE), list)
    assert isinstance(differences(WHOLE, damaged), list)
    folder = made_up_runs.run(tmp_path)
    made_up_runs.edit(folder, provenance="unverified", fingerprint=damaged, doubt=damaged)
    run = read_run(folder)
    assert run.data.startswith("unverified ")
    assert isinstance(not_real(run), str)
