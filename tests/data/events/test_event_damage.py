"""Recordings that are damaged, missing, too many or of somebody else are named, never skipped."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from snnbench.data.events.cifar10dvs import AEDAT2
from snnbench.data.events.frames import Events
from snnbench.data.events.gesture import IBMGesture, read_labels
from snnbench.errors import UserError
from tests.data.events import event_files as files

pytest.importorskip("tonic")


KINDS = ["nmnist", "aedat2", pytest.param("aedat4", marks=pytest.mark.skipif(
    importlib.util.find_spec("aedat") is None, reason="needs the package aedat")), "ibm", "tonic"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["truncated", "text"])
def test_damaged_recordings_are_named(kind, damage, tmp_path, event_pack):
    source, path = files.write_one(kind, tmp_path)
    path.write_bytes(path.read_bytes()[:-3] if damage == "truncated" else b"not a recording")
    if (kind, damage) == ("nmnist", "text"):
        pytest.skip("any bytes are N-MNIST events; these lie outside the sensor, which another test shows")
    with pytest.raises(UserError, match=path.name) as error:
        event_pack(source)
    assert "damaged" in str(error.value)
    assert len(str(error.value).splitlines()) <= 2
    assert list((tmp_path / "packed").iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_recordings_without_events_are_named(kind, tmp_path, event_pack):
    source, path = files.write_one(kind, tmp_path)
    none = Events(*[np.empty(0, np.int64)] * 4)
    encode = {"nmnist": files.nmnist_bytes, "aedat2": files.aedat2_bytes, "aedat4": files.aedat4_bytes}
    if kind == "tonic":
        np.save(path, files.gesture_array(none))
    elif kind == "ibm":
        path.write_bytes(files.aedat3_bytes(files.make_events(1, start=5)))  # before the first label
    else:
        path.write_bytes(encode[kind](none))
    with pytest.raises(UserError, match=f"{path.name} is damaged: it has no events"):
        event_pack(source)


def test_time_that_goes_back_is_named_and_can_be_allowed(tmp_path, event_pack):
    source, path = files.write_one("aedat2", tmp_path)
    events = files.make_events(5)
    path.write_bytes(files.aedat2_bytes(events._replace(t=events.t[::-1])))
    with pytest.raises(UserError, match=r"cifar10_cat_1.aedat is damaged: time goes back .* data.time_order=file"):
        event_pack(source)
    assert len(event_pack(source, time_order="file")) == 60
    assert len(event_pack(source, time_order="sort")) == 60


def test_coordinates_outside_the_sensor_are_named(tmp_path, event_pack):
    source, path = files.write_one("nmnist", tmp_path)
    path.write_bytes(bytes([34, 0, 0, 0, 1]))
    with pytest.raises(UserError, match=r"00004.bin is damaged: an event's x is 34, outside 0 to 33"):
        event_pack(source)
    path.write_bytes(bytes([3, 33, 0, 0, 1, 3, 40, 0, 0, 2]))
    with pytest.raises(UserError, match=r"an event's y is 40"):
        event_pack(source)


@pytest.mark.parametrize(
    ("kind", "stranger"),
    [
        ("nmnist", "Train/10"),
        ("nmnist", "Test/3/cat.bin"),
        ("aedat2", "lion"),
        ("aedat2", "cat/cifar10_dog_7.aedat"),
        ("aedat2", "cat/cifar10_cat_01.aedat"),
        ("aedat2", "cat/cifar10_cat_7.aedat4"),
        ("tonic", "ibmGestureTrain/person1"),
        ("tonic", "ibmGestureTrain/user02_lab/11.npy"),
    ],
)
def test_what_does_not_belong_is_named(kind, stranger, tmp_path):
    source, _ = files.write_one(kind, tmp_path)
    path = source.folder / stranger
    path.write_bytes(b"") if path.suffix else path.mkdir()
    with pytest.raises(UserError, match=path.name):
        source.recordings()


@pytest.mark.parametrize("kind", ["nmnist", "aedat2", "ibm", "tonic"])
def test_a_part_is_not_taken_for_the_whole(kind, tmp_path):
    source, _ = files.write_one(kind, tmp_path)
    source.subset = False
    with pytest.raises(UserError, match=r"data.subset=true takes what is there"):
        source.recordings()


def test_missing_and_surplus_numbers_are_named(tmp_path):
    folder = tmp_path / "CIFAR10DVS-aedat2"
    for name in files.CIFAR_CLASSES:
        (folder / name).mkdir(parents=True)
        for number in range(1000):
            (folder / name / f"cifar10_{name}_{number}.aedat").touch()
    source = AEDAT2(tmp_path)
    assert len(source.recordings()) == 10_000
    (folder / "frog" / "cifar10_frog_500.aedat").unlink()
    (folder / "frog" / "cifar10_frog_1000.aedat").touch()
    with pytest.raises(UserError, match="frog lacks recording 500 and has recording 1000 too many"):
        source.recordings()


def test_a_missing_class_folder_is_named(tmp_path, no_network):
    folder = files.write_cifar10dvs(tmp_path, "aedat2")
    for path in (folder / "bird").iterdir():
        path.unlink()
    (folder / "bird").rmdir()
    with pytest.raises(UserError, match="lacks bird"):
        AEDAT2(tmp_path).prepare()


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("3,500,400", "line 2 ends at 400 us, before it starts at 500 us"),
        ("12,500,900", "line 2 has class 12; there are 1 to 11"),
        ("0,500,900", "line 2 has class 0"),
        ("three,500,900", "line 2 is not three whole numbers"),
        ("3,500", "line 2 is not three whole numbers"),
        ("", "it has no rows"),
    ],
)
def test_label_files_that_make_no_sense(row, complaint, tmp_path):
    path = tmp_path / "user01_led_labels.csv"
    path.write_text(f"class,startTime_usec,endTime_usec\n{row}\n")
    with pytest.raises(UserError, match=complaint) as error:
        read_labels(path)
    assert path.name in str(error.value)


def test_missing_label_files_recordings_and_lists_are_named(tmp_path):
    folder = files.write_ibm_gesture(tmp_path)
    source = IBMGesture(tmp_path, subset=True)
    for name in ("user11_led_labels.csv", "user02_led.aedat", "trials_to_test.txt"):
        (folder / name).rename(folder / "away")
        with pytest.raises(UserError, match=name):
            source.recordings()
        (folder / "away").rename(folder / name)
