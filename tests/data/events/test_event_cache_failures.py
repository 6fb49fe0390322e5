"""The packed cache when several processes ask for it, one is killed, or the disk is full."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from snnbench.data.events import pack as packing
from snnbench.data.events.cache import plan
from snnbench.data.events.cifar10dvs import AEDAT2
from snnbench.data.events.frames import FrameRule
from snnbench.errors import UserError
from tests.conftest import ROOT
from tests.data.events import event_files as files


def build_and_note(folder: Path, root: Path, note: Path) -> None:
    source = AEDAT2(root, subset=True)
    real = packing._build

    def build(*args) -> None:
        with note.open("a") as file:
            file.write("built\n")
        time.sleep(0.3)
        real(*args)

    packing._build = build
    packing.ensure(plan(folder, "test", source, FrameRule(4)), 2)


def test_processes_that_ask_at_once_build_it_once(source, tmp_path):
    context = multiprocessing.get_context("fork")
    arguments = (tmp_path / "packed", tmp_path, tmp_path / "note")
    processes = [context.Process(target=build_and_note, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "note").read_text() == "built\n"


KILLED = """
import sys, time
from pathlib import Path
from snnbench.data.events import workers
from snnbench.data.events.cache import plan
from snnbench.data.events.cifar10dvs import AEDAT2
from snnbench.data.events.frames import FrameRule
from snnbench.data.events.pack import ensure
real = workers._write_at
def slow(*args):
    time.sleep(0.02)
    real(*args)
workers._write_at = slow
root = Path(sys.argv[1])
ensure(plan(root / "packed", "test", AEDAT2(root, subset=True), FrameRule(4)), 2)
"""


def test_kill_9_while_packing_leaves_nothing_that_looks_finished(source, event_pack, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    partial: list[Path] = []
    while not partial and time.monotonic() < deadline:
        partial = list(tmp_path.glob("packed/.*.partial"))
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert partial
    assert partial[0].exists(), "killed too late to show anything"
    assert files.contents(tmp_path / "packed") == {}
    event_pack(source)
    completed = files.contents(tmp_path / "packed")
    assert not list(tmp_path.glob("packed/.*.partial"))
    (tmp_path / "packed").rename(tmp_path / "old")
    event_pack(source)
    assert files.contents(tmp_path / "packed") == completed


def test_a_packing_process_that_dies_is_noticed(source, event_pack, tmp_path, monkeypatch):
    from snnbench.data.events import workers

    monkeypatch.setattr(workers, "_write_at", lambda *args: os._exit(9))
    with pytest.raises(UserError, match="a packing process died"):
        event_pack(source)
    assert list((tmp_path / "packed").iterdir()) == []


def test_a_full_disk_is_named_and_nothing_is_left(source, event_pack, tmp_path, monkeypatch):
    from collections import namedtuple

    from snnbench.data.events import workers

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(workers.os, "pwrite", full)
        with pytest.raises(UserError, match=r"cannot pack test-aedat2-T4.*No space left on device") as error:
            event_pack(source)
    assert "data.cache=" in str(error.value)
    assert list((tmp_path / "packed").iterdir()) == []
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda folder: usage(2**30, 2**30 - 1000, 1000))
    with pytest.raises(UserError, match=r"it takes 0.01 GiB, 0.00 GiB are free"):
        event_pack(source)
    assert list((tmp_path / "packed").iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_named(source, tmp_path):
    (tmp_path / "packed").write_text("a file")
    with pytest.raises(UserError, match=r"data.cache=<folder>"):
        packing.ensure(plan(tmp_path / "packed", "test", source, FrameRule(4)))
