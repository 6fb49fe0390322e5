"""What data is known by: it changes with the data and with nothing else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import (
    image_data,
    ready,
    write_cifar,
    write_idx,
    write_imagenet,
    write_jpeg,
    write_mnist,
    write_tiny_imagenet,
)
from own_data import Npz, custom

from snnbench.data import fingerprint, tree
from snnbench.data.images.dataset import FileImages, MemoryImages
from snnbench.data.images.sources import MNIST
from snnbench.errors import UserError
from snnbench.runs.fingerprint import differences

IDX = {"images": "train-images-idx3-ubyte", "labels": "train-labels-idx1-ubyte"}


def known_by(name: str, root: Path, **options: object) -> dict:
    return ready(image_data(name, root=root, **{"verify": False, "num_workers": 0, **options})).fingerprint()


def flip(path: Path, keep_time: bool = True) -> None:
    """Change the last byte and, if asked, no time that one can set."""
    content, status = bytearray(path.read_bytes()), path.stat()
    content[-1] ^= 1
    path.write_bytes(content)
    if keep_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def old_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests of files that were made just now are remembered, too."""
    monkeypatch.setattr(tree, "SETTLED_S", -1.0)


FILES = {
    "mnist": (write_mnist, f"MNIST/raw/{IDX['images']}"),
    "cifar10": (write_cifar, "cifar-10-batches-py/batches.meta"),
    "tiny_imagenet": (write_tiny_imagenet, "val/val_annotations.txt"),
    "imagenet": (write_imagenet, "imagenet/val/n00000001/1.JPEG"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_copy_is_the_same_data_and_a_changed_byte_is_not(name: str, old_enough: None, tmp_path: Path) -> None:
    write, path = FILES[name]
    write(tmp_path / "a")
    before = known_by(name, tmp_path / "a")
    assert differences(before, known_by(name, tmp_path / "a")) == []
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copy)
    assert differences(before, known_by(name, tmp_path / "b")) == []
    if name == "tiny_imagenet":
        path = "tiny-imagenet-200/val/images/val_1.JPEG"
        write_jpeg(tmp_path / "a" / path, (64, 64), (250, 80, 80))
    elif name == "imagenet":
        write_jpeg(tmp_path / "a" / path, (337, 260), (250, 0, 0))
    elif name == "cifar10":
        meta = tmp_path / "a" / path
        meta.write_bytes(meta.read_bytes().replace(b"9", b"8"))
    else:
        flip(tmp_path / "a" / path)
    (difference,) = differences(before, known_by(name, tmp_path / "a"))
    part = Path(path).relative_to(Path(path).parts[0]).parts[0] if name != "mnist" else IDX["images"]
    assert difference == f"what is in {part}"


def test_labels_splits_and_counts_are_told_apart(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    whole = known_by("mnist", tmp_path)
    held_out = known_by("mnist", tmp_path, val_fraction=0.2)
    assert held_out["samples"] == {"train": 80, "test": 30, "val": 20}
    assert held_out["classes"]["val"] == [2] * 10
    other = known_by("mnist", tmp_path, val_fraction=0.2, seed=3)
    assert other["labels"] != held_out["labels"] or other["split"] != held_out["split"]
    found = differences(whole, held_out)
    assert found[0].startswith("split: official train/test then, official train/test; val: 0.2")
    assert "0 val samples then, 20 now" in found
    write_idx(tmp_path / "MNIST/raw" / IDX["labels"], np.array([1, *(np.arange(1, 100) % 10)], np.uint8))
    relabelled = differences(whole, known_by("mnist", tmp_path))
    assert relabelled[0] == "10 train samples of class 0 then, 9 now"


def test_content_is_read_once_and_again_when_it_is_asked_for(
    old_enough: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mnist(tmp_path)
    read: list[str] = []
    md5_of = tree.md5_of
    monkeypatch.setattr(tree, "md5_of", lambda path: read.append(Path(path).name) or md5_of(path))
    first = known_by("mnist", tmp_path)
    assert sorted(read) == sorted(MNIST.md5)
    assert known_by("mnist", tmp_path) == first
    assert len(read) == 4
    flip(tmp_path / "MNIST/raw" / IDX["images"])
    assert known_by("mnist", tmp_path)["files"] != first["files"]
    assert len(read) == 8, "the time of the last change of a file's status cannot be set back"
    with pytest.raises(UserError, match="is damaged: MD5"):
        image_data("mnist", root=tmp_path, verify="full").prepare_data()
    assert len(read) == 12


def test_what_changed_just_now_is_not_remembered_by_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(tmp_path)
    notes: list[object] = []
    monkeypatch.setattr(tree, "remember", lambda *note: notes.append(note))
    known_by("mnist", tmp_path)
    assert notes == []


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"state": 1}', b'{"state": "x", "value": {"digest": 5}}'])
def test_a_damaged_note_is_not_believed(
    damage: bytes, old_enough: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNNBENCH_CACHE", str(tmp_path / "cache"))
    write_mnist(tmp_path)
    first = known_by("mnist", tmp_path)
    (note,) = (tmp_path / "cache/data").iterdir()
    note.write_bytes(damage)
    assert known_by("mnist", tmp_path) == first


def test_without_a_cache_folder_content_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("SNNBENCH_CACHE", str(tmp_path / "cache"))
    write_mnist(tmp_path)
    assert differences(known_by("mnist", tmp_path), known_by("mnist", tmp_path)) == []


def test_many_bytes_are_known_by_names_sizes_and_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_imagenet(tmp_path)
    monkeypatch.setattr(fingerprint, "CONTENT_BYTES", 0)
    monkeypatch.setattr(tree, "md5_of", None)
    before = known_by("imagenet", tmp_path)
    assert before["files"]["content"] is None
    assert differences(before, known_by("imagenet", tmp_path)) == []
    path = folder / "train/n00000000/0.JPEG"
    os.utime(path, (1, 1))
    assert "times" in differences(before, known_by("imagenet", tmp_path))[0]
    shutil.copy(path, path.with_name("2.JPEG"))
    assert "4 train samples then, 5 now" in differences(before, known_by("imagenet", tmp_path))
    monkeypatch.undo()
    monkeypatch.setattr(fingerprint, "CONTENT_BYTES", 0)
    assert ready(image_data("imagenet", root=tmp_path, verify=False)).fingerprint()["files"]["content"] is None


class Folder(Npz):
    def load(self) -> tuple[FileImages, FileImages]:
        for k in range(4):
            write_jpeg(self.root / f"{k}.png", (8, 8), (60 * k, 0, 0))
        paths = [self.root / f"{k}.png" for k in range(4)]
        return tuple(FileImages(paths[part::2], torch.tensor([0, 1])) for part in (0, 1))


def test_images_whose_files_nobody_tells_are_known_by_themselves(tmp_path: Path) -> None:
    first = ready(custom(Npz, tmp_path)).fingerprint()
    assert first["files"]["content"] == ready(custom(Npz, tmp_path / "else")).fingerprint()["files"]["content"]

    class Other(Npz):
        def load(self) -> tuple[MemoryImages, MemoryImages]:
            train, test = super().load()
            test.pixels[0, 0, 0, 0] ^= 1
            return train, test

    assert "what is in its files" in differences(first, ready(custom(Other, tmp_path)).fingerprint())
    words = {"in_channels": 3, "mean": [0.5] * 3, "std": [0.5] * 3}
    files = ready(custom(Folder, tmp_path, **words)).fingerprint()["files"]
    assert files["count"] == 4
    assert files["content"]


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    path = tmp_path / "cifar-10-batches-py/data_batch_2"
    path.unlink()
    os.mkfifo(path)
    for verify in (True, False):
        with pytest.raises(UserError, match=r"data_batch_2 is no plain file"):
            image_data("cifar10", root=tmp_path, verify=verify).prepare_data()
