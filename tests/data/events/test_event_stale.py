"""A pack is named by what decides it: none is taken for data that has changed. What is left about is no data."""

from __future__ import annotations

import errno
import importlib.util
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from snnbench.data.events import pack as packing
from snnbench.data.events.cache import plan
from snnbench.data.events.cifar10dvs import AEDAT2
from snnbench.data.events.frames import FrameRule
from snnbench.data.events.gesture import IBMGesture
from snnbench.errors import UserError
from tests.data.events import event_files as files

pytest.importorskip("tonic")
KINDS = ["nmnist", "aedat2", pytest.param("aedat4", marks=pytest.mark.skipif(
    importlib.util.find_spec("aedat") is None, reason="needs the package aedat")), "ibm", "tonic"]  # fmt: skip


def rewrite(path: Path, content: bytes) -> None:
    """Other content of the same size, and of the same time."""
    status = path.stat()
    assert len(content) == status.st_size
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def other_events(kind: str, path: Path) -> bytes:
    events = files.make_events(77, 150 if kind == "tonic" else 200, size=34 if kind == "nmnist" else 128)
    if kind == "tonic":
        array = np.load(path)
        array[:, 0] = array[::-1, 0]
        head = path.stat().st_size - array.nbytes
        return path.read_bytes()[:head] + array.tobytes(order="F" if np.isfortran(array) else "C")
    if kind == "ibm":
        return path.with_name("user02_led.aedat").read_bytes()
    return {"nmnist": files.nmnist_bytes, "aedat2": files.aedat2_bytes, "aedat4": files.aedat4_bytes}[kind](events)


@pytest.mark.parametrize("kind", KINDS)
def test_other_events_of_the_same_size_are_packed_anew(kind, tmp_path, event_pack):
    source, path = files.write_one(kind, tmp_path)
    before = event_pack(source)
    content = path.read_bytes()
    rewrite(path, other_events(kind, path))
    after = event_pack(source)
    assert after.path != before.path
    assert not np.array_equal(after.frames, before.frames)
    rewrite(path, content)
    assert event_pack(source).path == before.path


@pytest.mark.parametrize("kind", ["nmnist", "ibm"])
def test_a_copy_needs_no_other_pack(kind, tmp_path, event_pack):
    source, _ = files.write_one(kind, tmp_path / "a")
    before = event_pack(source)
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copy)
    assert event_pack(type(source)(tmp_path / "b", subset=True)).path == before.path


def edit_labels(folder: Path) -> None:
    path = folder / "user11_led_labels.csv"
    rows = path.read_text().splitlines()
    label, start, end = rows[3].split(",")
    rows[3] = f"{label},{int(start) + 1},{end}"
    rewrite(path, ("\n".join(rows) + "\n").encode())


EDITS = {
    "label times": edit_labels,
    "order of the recordings": lambda f: rewrite(f / "trials_to_train.txt", b"user11_led.aedat\nuser02_led.aedat\n"),
    "a recording for another": lambda f: shutil.copy(f / "user02_led.aedat", f / "user11_led.aedat"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_edited_gestures_are_packed_anew(edit, tmp_path, event_pack):
    folder = files.write_ibm_gesture(tmp_path)
    source = IBMGesture(tmp_path, subset=True)
    before = event_pack(source)
    EDITS[edit](folder)
    assert event_pack(source).path != before.path


def test_code_and_format_are_in_the_name(tmp_path, event_pack, monkeypatch):
    files.write_cifar10dvs(tmp_path, "aedat2")
    before = event_pack(AEDAT2(tmp_path, subset=True))

    class Mirrored(AEDAT2):
        def read_file(self, path):
            events = super().read_file(path)
            return events._replace(x=127 - events.x)

    mirrored = event_pack(Mirrored(tmp_path, subset=True))
    assert mirrored.path != before.path
    assert np.array_equal(mirrored.frames, before.frames[..., ::-1])
    monkeypatch.setattr("snnbench.data.events.cache.FORMAT", 1)
    assert event_pack(AEDAT2(tmp_path, subset=True)).path != before.path


def test_a_source_of_ones_own_is_known_by_all_of_its_files(tmp_path, event_pack):
    class Noted(AEDAT2):
        """Reads something else besides."""

    folder = files.write_cifar10dvs(tmp_path, "aedat2")
    (folder / "notes.csv").write_text("1")
    before = event_pack(Noted(tmp_path, subset=True)).path
    (folder / "notes.csv").write_text("2")
    assert event_pack(Noted(tmp_path, subset=True)).path != before
    assert event_pack(AEDAT2(tmp_path, subset=True)).path == event_pack(AEDAT2(tmp_path, subset=True)).path


def test_a_pack_that_is_not_used_is_named(tmp_path, event_pack, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("snnbench"), "propagate", True)
    caplog.set_level(logging.INFO, "snnbench")
    source, path = files.write_one("aedat2", tmp_path)
    before = event_pack(source).path
    rewrite(path, other_events("aedat2", path))
    event_pack(source)
    assert f"{before.stem} is of other content; delete it" in caplog.text


def test_files_that_change_while_they_are_packed_leave_no_pack(tmp_path, event_pack, monkeypatch):
    source, path = files.write_one("aedat2", tmp_path)
    run = packing.run_workers

    def meanwhile(*arguments):
        result = run(*arguments)
        rewrite(path, other_events("aedat2", path))
        return result

    monkeypatch.setattr(packing, "run_workers", meanwhile)
    with pytest.raises(UserError, match="files were changed while they were packed"):
        event_pack(source)
    assert list((tmp_path / "packed").iterdir()) == []


def test_a_read_only_folder_has_its_packs_and_refuses_others_in_words(source, event_pack, tmp_path, monkeypatch):
    pack = event_pack(source)

    def read_only(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system", "packed")

    for name in ("unlink", "mkdir", "write_text", "touch"):  # as such a file system does it, also where nothing is
        monkeypatch.setattr(Path, name, read_only if name != "mkdir" else lambda *_, **__: None)
    opened = Path.open

    def only_read(self, mode="r", *rest, **more):
        return read_only() if "w" in mode else opened(self, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", only_read)
    assert event_pack(source).path == pack.path
    with pytest.raises(UserError, match=r"cannot pack test-aedat2-T5.*Read-only") as error:
        packing.ensure(plan(tmp_path / "packed", "test", source, FrameRule(5)))
    assert "data.cache=<folder> on a disk that can be written to" in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_about_is_no_recording(kind, tmp_path, event_pack):
    source, path = files.write_one(kind, tmp_path)
    before = event_pack(source).path
    for folder in [source.folder, *(path for path in source.folder.rglob("*") if path.is_dir())]:
        for name in (".DS_Store", "Thumbs.db", f"._{path.name}", "desktop.ini"):
            (folder / name).write_bytes(b"\0\5\x16\7")
        for name in (".ipynb_checkpoints", "__MACOSX", "@eaDir"):
            (folder / name).mkdir()
            (folder / name / path.name).write_bytes(b"1")
    assert event_pack(type(source)(tmp_path, subset=True)).path == before


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_plain_file_is_named(kind, tmp_path, event_pack):
    source, path = files.write_one(kind, tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match=path.name):
        event_pack(source)


def test_classes_that_are_empty_or_no_folder_are_named(tmp_path):
    source, path = files.write_one("nmnist", tmp_path)
    for file in path.parent.iterdir():
        file.unlink()
    with pytest.raises(UserError, match="Train/3 has no recordings"):
        source.recordings()
    path.parent.rmdir()
    path.parent.symlink_to("nowhere")
    with pytest.raises(UserError, match="Train/3 is no folder, or a link to nothing"):
        source.recordings()


@pytest.mark.parametrize("name", ["user11_led_labels.csv", "trials_to_train.txt"])
def test_label_files_and_lists_that_are_no_text_are_named(name, tmp_path):
    (files.write_ibm_gesture(tmp_path) / name).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=f"{name} is damaged: it is no text"):
        IBMGesture(tmp_path, subset=True).recordings()


def test_one_class_teaches_nothing(tmp_path, event_data):
    folder = files.write_nmnist(tmp_path)
    for digit in set(range(10)) - {3}:
        shutil.rmtree(folder / "Train" / str(digit))
    data = event_data("nmnist")
    data.prepare_data()
    with pytest.raises(UserError, match="data=nmnist: all 3 training samples are of class 3"):
        data.setup("fit")
