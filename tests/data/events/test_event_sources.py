"""The true file formats through the real readers and classes; damage, gaps and strangers are named."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from torchvision.transforms import v2

from snnbench.data.events.aedat import read_aedat2, read_aedat3
from snnbench.data.events.cifar10dvs import AEDAT2, AEDAT4
from snnbench.data.events.frames import Events, FrameRule, to_frames
from snnbench.data.events.gesture import IBMGesture, TonicGesture, read_labels
from snnbench.data.events.nmnist import NMNIST
from snnbench.errors import UserError
from tests.data.events import event_files as files

pytest.importorskip("tonic")


def read_all(source) -> dict[str, tuple[int, str, Events]]:
    """By the sample's name: label, part, events."""
    return {
        sample.name: (sample.label, sample.part, events)
        for recording in source.recordings()
        for sample, events in zip(recording.samples, source.read(recording), strict=True)
    }


def assert_same(events: Events, expected: Events) -> None:
    for ours, theirs in zip(events, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_nmnist(tmp_path):
    files.write_nmnist(tmp_path, train=12, test=1)
    source = NMNIST(tmp_path, subset=True)
    samples = [sample for recording in source.recordings() for sample in recording.samples]
    assert [s.number for s in samples] == [*range(1, 11), *range(1, 121)]
    found = read_all(source)
    label, part, events = found["Train/7/00018.bin"]
    assert (label, part) == (7, "train")
    assert_same(events, files.make_events(10 * 18 + 7, size=34))
    assert found["Test/0/00001.bin"][1] == "test"


@pytest.mark.parametrize("make", [AEDAT2, AEDAT4])
def test_cifar10dvs(make, tmp_path):
    if make is AEDAT4:
        pytest.importorskip("aedat")
    files.write_cifar10dvs(tmp_path, make.name)
    source = make(tmp_path, subset=True)
    numbers = [recording.samples[0].number for recording in source.recordings()]
    assert numbers == [0, 1, 10, 91, 900, 999] * 10
    label, part, events = read_all(source)[f"cat/cifar10_cat_91.{make.suffix}"]
    assert (label, part) == (3, "")
    assert_same(events, files.make_events(913))


def test_aedat2_has_spikingjellys_axes(tmp_path, sj_datasets):
    from spikingjelly.datasets.cifar10_dvs import _load_origin_data

    path = tmp_path / "a.aedat"
    path.write_bytes(files.aedat2_bytes(files.make_events(4)))
    assert_same(read_aedat2(path), Events(**{key: _load_origin_data(path)[key] for key in "xypt"}))


def test_what_is_left_and_right_in_clifs_frames_is_up_and_down_in_ours(tmp_path, event_data):
    """CLIF's loader takes x = 127 - column, y = row, so its recipe's horizontal flip is a vertical one here."""
    path = tmp_path / "a.aedat"
    path.write_bytes(files.aedat2_bytes(files.make_events(4)))
    address = np.frombuffer(path.read_bytes()[-8 * len(read_aedat2(path).t) :], ">u4")[::2]
    column, row = (address & 0xFE) >> 1, (address & 0x7F00) >> 8
    clif = Events(127 - column, row, 1 - (address & 1), read_aedat2(path).t)
    theirs, ours = (to_frames(events, 128, 128, FrameRule(1)) for events in (clif, read_aedat2(path)))
    assert (np.rot90(theirs, -1, (2, 3)) == ours).all()
    assert (np.rot90(theirs[..., ::-1], -1, (2, 3)) == ours[..., ::-1, :]).all()
    flip, rotation = event_data("cifar10dvs", "augment=dvs_flip_rotate").augment.sample
    assert isinstance(flip, v2.RandomVerticalFlip)
    assert flip.p == 0.5
    assert rotation.degrees == [-15.0, 15.0]


def test_aedat3_is_what_spikingjelly_reads(tmp_path, sj_datasets):
    path = tmp_path / "a.aedat"
    expected = files.make_events(4, start=2**31 - 150_000)
    path.write_bytes(files.aedat3_bytes(expected))
    assert_same(read_aedat3(path), expected)
    assert_same(read_aedat3(path), Events(**{key: sj_datasets.load_aedat_v3(path)[key] for key in "xypt"}))


def test_ibm_gesture(tmp_path):
    files.write_ibm_gesture(tmp_path)
    source = IBMGesture(tmp_path, subset=True)
    recordings = source.recordings()
    assert [len(recording.samples) for recording in recordings] == [12, 12, 12]
    found = read_all(source)
    assert [label for label, _, _ in found.values()] == [*range(11), 7] * 3
    assert [part for _, part, _ in found.values()] == ["train"] * 24 + ["test"] * 12
    assert_same(found["user11_led.aedat#11"][2], files.make_events(11_117, 150, start=2**31 + 1_400_000))
    (source.folder / "trials_to_train.txt").write_text("user11_led.aedat\nuser02_led.aedat\n")
    names = [recording.path.stem for recording in source.recordings()]
    assert names == ["user11_led", "user02_led", "user24_led"], "the order of the lists"


def test_tonic_gesture(tmp_path):
    files.write_tonic_gesture(tmp_path)
    found = read_all(TonicGesture(tmp_path, subset=True))
    assert next(iter(found)) == "ibmGestureTrain/user02_lab/0.npy"
    assert list(found)[10] == "ibmGestureTrain/user02_lab/10.npy"
    label, part, events = found["ibmGestureTest/user24_lab/9.npy"]
    assert (label, part) == (9, "test")
    expected = files.make_events(2409, 150)
    assert_same(events._replace(t=expected.t), expected)
    assert abs(events.t - expected.t).max() <= 1, "milliseconds in float64, cut to whole microseconds"


def write(kind: str, root: Path) -> tuple[object, Path]:
    """A source over a few files, and one of them."""
    if kind == "nmnist":
        return NMNIST(root, subset=True), files.write_nmnist(root) / "Train" / "3" / "00004.bin"
    if kind in ("aedat2", "aedat4"):
        make = AEDAT2 if kind == "aedat2" else AEDAT4
        return make(root, subset=True), files.write_cifar10dvs(root, kind) / "cat" / f"cifar10_cat_1.{make.suffix}"
    if kind == "ibm":
        return IBMGesture(root, subset=True), files.write_ibm_gesture(root) / "user11_led.aedat"
    path = files.write_tonic_gesture(root) / "ibmGestureTrain" / "user02_lab" / "4.npy"
    return TonicGesture(root, subset=True), path


KINDS = ["nmnist", "aedat2", pytest.param("aedat4", marks=pytest.mark.skipif(
    importlib.util.find_spec("aedat") is None, reason="needs the package aedat")), "ibm", "tonic"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["truncated", "text"])
def test_damaged_recordings_are_named(kind, damage, tmp_path, event_pack):
    source, path = write(kind, tmp_path)
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
    source, path = write(kind, tmp_path)
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
    source, path = write("aedat2", tmp_path)
    events = files.make_events(5)
    path.write_bytes(files.aedat2_bytes(events._replace(t=events.t[::-1])))
    with pytest.raises(UserError, match=r"cifar10_cat_1.aedat is damaged: time goes back .* data.time_order=file"):
        event_pack(source)
    assert len(event_pack(source, time_order="file")) == 60
    assert len(event_pack(source, time_order="sort")) == 60


def test_coordinates_outside_the_sensor_are_named(tmp_path, event_pack):
    source, path = write("nmnist", tmp_path)
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
    source, _ = write(kind, tmp_path)
    path = source.folder / stranger
    path.write_bytes(b"") if path.suffix else path.mkdir()
    with pytest.raises(UserError, match=path.name):
        source.recordings()


@pytest.mark.parametrize("kind", ["nmnist", "aedat2", "ibm", "tonic"])
def test_a_part_is_not_taken_for_the_whole(kind, tmp_path):
    source, _ = write(kind, tmp_path)
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


@pytest.mark.parametrize("make", [NMNIST, AEDAT2, AEDAT4, IBMGesture, TonicGesture])
def test_without_a_network_it_says_where_to_get_the_data(make, tmp_path, no_network):
    with pytest.raises(UserError) as error:
        make(tmp_path / "data").prepare()
    text = str(error.value)
    assert str(tmp_path / "data" / make.folder_name) in text
    assert "hand" in text
    assert "paths.data" in text
    assert not (tmp_path / "data").exists()


def test_archives_prove_the_data_and_wrong_ones_are_refused(tmp_path, monkeypatch):
    import hashlib

    folder = files.write_cifar10dvs(tmp_path, "aedat4")
    source = AEDAT4(tmp_path)
    source.prepare()
    assert source.provenance == "unverified"
    (folder / "CIFAR10DVS.zip").write_bytes(b"zip")
    with pytest.raises(UserError, match=r"CIFAR10DVS.zip is damaged: MD5 .*data.verify=false"):
        AEDAT4(tmp_path).prepare()
    unverified = AEDAT4(tmp_path, verify=False)
    unverified.prepare()
    assert unverified.provenance == "unverified"
    monkeypatch.setattr(AEDAT4, "archives", {"CIFAR10DVS.zip": hashlib.md5(b"zip").hexdigest()})
    for _ in range(2):  # read once, then remembered
        source = AEDAT4(tmp_path)
        source.prepare()
        assert source.provenance == "real"
    (folder / "CIFAR10DVS.zip").write_bytes(b"piz")
    with pytest.raises(UserError, match="damaged"):
        AEDAT4(tmp_path).prepare()


def test_aedat4_names_its_missing_package(tmp_path, monkeypatch, event_pack):
    source, _ = write("aedat4", tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install aedat"):
        event_pack(source)
