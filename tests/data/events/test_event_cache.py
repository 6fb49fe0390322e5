"""The packed cache: what is in it, what damages it, and that it is built once, whole and always the same."""

from __future__ import annotations

import json
import logging
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from snnbench.data.events import pack as packing
from snnbench.data.events.cache import Pack, look, plan
from snnbench.data.events.frames import Events, FrameRule, to_frames
from tests.data.events import event_files as files


@pytest.fixture
def warnings(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("snnbench"), "propagate", True)
    caplog.set_level(logging.INFO, "snnbench")
    return lambda: "\n".join(record.getMessage() for record in caplog.records)


def test_it_holds_the_frames_of_every_sample(source, event_pack):
    pack = event_pack(source)
    assert pack.frames.shape == (60, 4, 2, 128, 128)
    assert pack.frames.dtype == np.uint8
    assert isinstance(pack.frames, np.memmap)
    for i, recording in enumerate(source.recordings()):
        (events,) = source.read(recording)
        np.testing.assert_array_equal(pack.frames[i], to_frames(events, 128, 128, FrameRule(4)))
    assert pack.labels.tolist() == [label for label in range(10) for _ in range(6)]
    assert pack.header["events"] == 60 * 200 == pack.frames.sum()
    assert pack.header["highest_count"] == pack.frames.max()


def test_the_header_is_clear_text_without_times_hosts_or_paths(source, event_pack, tmp_path):
    pack = event_pack(source)
    text = pack.path.with_suffix(".json").read_text()
    header = json.loads(text)
    assert (header["dataset"], header["source"]) == ("test", "aedat2")
    assert header["frames"] == {"T": 4, "slicing": "number", "remainder": "last", "time_order": "strict"}
    assert header["names"][:2] == ["airplane/cifar10_airplane_0.aedat", "airplane/cifar10_airplane_1.aedat"]
    assert str(tmp_path) not in text
    assert os.uname().nodename not in text


def test_builds_are_equal_byte_for_byte_with_any_number_of_processes(source, event_pack, tmp_path):
    event_pack(source, processes=1)
    one = files.contents(tmp_path / "packed")
    (tmp_path / "packed").rename(tmp_path / "old")
    event_pack(source, processes=5)
    assert files.contents(tmp_path / "packed") == one
    assert len(one) == 2


def test_everything_that_shapes_it_is_in_its_name(source, event_pack, tmp_path):
    rules = [{}, {"T": 5}, {"slicing": "time"}, {"remainder": "drop"}, {"time_order": "sort"}]
    paths = {event_pack(source, **rule).path for rule in rules}
    assert len(paths) == len(rules)
    (source.folder / "cat" / "cifar10_cat_0.aedat").write_bytes(files.aedat2_bytes(files.make_events(3, 199)))
    assert event_pack(source).path not in paths, "a recording of another size"
    (source.folder / "cat" / "cifar10_cat_0.aedat").unlink()
    assert len(event_pack(source)) == 59


def test_a_finished_cache_is_not_built_again(source, event_pack, monkeypatch):
    event_pack(source)
    monkeypatch.setattr(packing, "_build", None)
    event_pack(source)


@pytest.mark.parametrize(("count", "kind"), [(255, np.uint8), (256, np.uint16), (70_000, np.uint32)])
def test_counts_too_large_for_a_byte_widen_the_cache(source, event_pack, count, kind):
    zeros = np.zeros(count, np.int64)
    path = source.folder / "truck" / "cifar10_truck_999.aedat"
    path.write_bytes(files.aedat2_bytes(Events(zeros, zeros, zeros, zeros)))
    pack = event_pack(source, T=1)
    assert pack.frames.dtype == kind
    assert pack.frames[59].max() == count
    assert pack.frames[58].sum() == 200


def damage_byte(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1000, 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))


DAMAGE = {
    "a flipped bit": (lambda npy, js: damage_byte(npy), "checksum of sample 59"),
    "a file cut off": (lambda npy, js: os.truncate(npy, npy.stat().st_size - 10), "cannot be read"),
    "an empty file": (lambda npy, js: npy.write_bytes(b""), "cannot be read"),
    "a foreign array": (lambda npy, js: np.save(npy, np.zeros((3, 2))), "it holds float64"),
    "another version": (lambda npy, js: js.write_text(js.read_text().replace('"format": 2', '"format": 0')), "format"),
    "a header cut off": (lambda npy, js: js.write_text(js.read_text()[:200]), "cannot be read"),
    "a header of something else": (lambda npy, js: js.write_text("[1]"), "cannot be read"),
    "no header": (lambda npy, js: js.unlink(), ".json is missing"),
    "no frames": (lambda npy, js: npy.unlink(), ".npy is missing"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_or_foreign_cache_is_rebuilt_and_said_so(name, source, event_pack, tmp_path, warnings):
    pack = event_pack(source)
    good = files.contents(tmp_path / "packed")
    harm, reason = DAMAGE[name]
    harm(pack.path, pack.path.with_suffix(".json"))
    assert files.contents(tmp_path / "packed") != good
    again = event_pack(source)
    assert files.contents(tmp_path / "packed") == good
    assert "is packed anew" in warnings()
    assert reason in warnings()
    assert again.frames.sum() == 12_000


def test_a_cache_brought_from_elsewhere_is_checked(source, event_pack, tmp_path, warnings):
    pack = event_pack(source)
    for stamp in (tmp_path / "packed").glob(".*.checked"):
        stamp.unlink()
    damage_byte(pack.path)
    event_pack(source)
    assert "checksum of sample 59" in warnings()


def test_thorough_looks_past_the_stamp(source, event_pack, tmp_path):
    pack = event_pack(source)
    wanted = plan(tmp_path / "packed", "test", source, FrameRule(4))
    state = pack.path.stat()
    damage_byte(pack.path)
    os.utime(pack.path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert isinstance(look(wanted), Pack)
    assert "checksum of sample 59" in look(wanted, thorough=True)


def test_a_pack_travels_between_processes_without_its_frames(source, event_pack):
    pack = event_pack(source)
    assert pack.frames is not None
    sent = pickle.dumps(pack)
    assert len(sent) < 100_000 < pack.frames.nbytes
    assert pickle.loads(sent).frames[3].tobytes() == pack.frames[3].tobytes()
