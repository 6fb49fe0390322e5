"""The true file formats through the real readers and classes; damage, gaps and strangers are named."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from torchvision.transforms import v2

from snnbench.data.events.aedat import read_aedat2, read_aedat3
from snnbench.data.events.cifar10dvs import AEDAT2, AEDAT4
from snnbench.data.events.frames import Events, FrameRule, to_frames
from snnbench.data.events.gesture import IBMGesture, TonicGesture
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


@pytest.mark.parametrize("make", [NMNIST, AEDAT2, AEDAT4, IBMGesture, TonicGesture])
def test_without_a_network_it_says_where_to_get_the_data(make, tmp_path, no_network):
    with pytest.raises(UserError) as error:
        make(tmp_path / "data").prepare()
    text = str(error.value)
    assert str(tmp_path / "data" / make.folder_name) in text
    assert "hand" in text
    assert "paths.data" in text
    assert not (tmp_path / "data").exists()


def test_aedat4_names_its_missing_package(tmp_path, monkeypatch, event_pack):
    source, _ = files.write_one("aedat4", tmp_path)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "aedat" else find_spec(name))
    with pytest.raises(UserError, match="pip install aedat"):
        event_pack(source)
