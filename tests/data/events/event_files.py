"""Small recordings in the true file formats, written by hand."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from snnbench.data.events import AEDAT2, AEDAT4, NMNIST, IBMGesture, TonicGesture
from snnbench.data.events.frames import Events

CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
XML = (
    '<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/"><node name="0" path="/0/">'
    '<attr key="compression" type="string">NONE</attr><attr key="originalModuleName" type="string">c</attr>'
    '<attr key="originalOutputName" type="string">events</attr><attr key="typeIdentifier" type="string">EVTS</attr>'
    '<node name="info" path="/0/info/"><attr key="sizeX" type="int">128</attr><attr key="sizeY" type="int">128</attr>'
    "</node></node></node></dv>"
)


def make_events(seed: int, count: int = 200, size: int = 128, span: int = 300_000, start: int = 0) -> Events:
    """Random events of ascending time; the seed's events cluster around one pixel, so that classes can be learnt."""
    rng = np.random.default_rng(seed)
    centre = np.random.default_rng(seed % 10).integers(size // 4, 3 * size // 4, 2)
    x, y = (np.clip(rng.normal(c, size / 16, count), 0, size - 1).astype(np.int64) for c in centre)
    t = start + np.sort(rng.integers(0, span, count))
    return Events(x, y, rng.integers(0, 2, count), t)


def nmnist_bytes(events: Events) -> bytes:
    x, y, p, t = (values.astype(np.int64) for values in events)
    return np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], 1).astype(np.uint8).tobytes()


def aedat2_bytes(events: Events, header: bytes = b"#!AER-DAT2.0\r\n# a comment\r\n") -> bytes:
    """As SpikingJelly takes it: x = 127 - row, y = 127 - column, p = 1 - polarity."""
    row, column, polarity = 127 - events.x, 127 - events.y, 1 - events.p
    words = np.stack([row << 8 | column << 1 | polarity, events.t], 1)
    return header + words.astype(">u4").tobytes()


def aedat3_bytes(events: Events, packet: int = 64) -> bytes:
    """Packets of `packet` polarity events, one of another type between them; times past 2^31 set the overflow."""
    out = [b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n"]
    word = events.x << 17 | events.y << 2 | events.p << 1 | 1
    overflow = events.t >> 31
    cuts = [0, *sorted({*range(packet, len(word), packet), *(np.flatnonzero(np.diff(overflow)) + 1)}), len(word)]
    for start, stop in pairwise(cuts):
        number = stop - start
        out.append(struct.pack("<HHIIIIII", 1, 0, 8, 4, int(overflow[start]), number, number, number))
        body = np.stack([word[start:stop], events.t[start:stop] & 0x7FFFFFFF], 1)
        out.append(body.astype("<u4").tobytes())
        out.append(struct.pack("<HHIIIIII", 0, 0, 4, 0, 0, 3, 3, 3) + bytes(12))
    return b"".join(out)


def aedat4_bytes(events: Events) -> bytes:
    """Uncompressed AEDAT 4.0: a header with an XML description, then one packet of events."""
    text = XML.encode()
    node = struct.pack("<I", len(text)) + text + b"\0" * (4 - len(text) % 4)
    header = _flatbuffer(b"IOHE", field=2, content=node)
    record = np.zeros(len(events.t), np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("on", "u1"), ("_", "V3")]))
    record["t"], record["x"], record["y"], record["on"] = events.t, events.x, events.y, events.p
    packet = _flatbuffer(b"EVTS", field=0, content=struct.pack("<I", len(record)) + record.tobytes())
    return b"#!AER-DAT4.0\r\n" + header + struct.pack("<ii", 0, len(packet)) + packet


def _flatbuffer(identifier: bytes, field: int, content: bytes) -> bytes:
    """A size-prefixed flatbuffer of a table whose only field, number `field`, is an offset to `content`."""
    entries = [0] * field + [4]
    vtable = struct.pack(f"<{2 + len(entries)}H", 4 + 2 * len(entries), 8, *entries)
    vtable += b"\0" * (-len(vtable) % 4)
    start = 8 + len(vtable)  # of the table
    gap = -(start + 8 + 4) % 8  # structs of 8-byte numbers follow the 4-byte length
    table = struct.pack("<iI", len(vtable), 4 + gap)
    body = struct.pack("<I", start) + identifier + vtable + table + b"\0" * gap + content
    return struct.pack("<I", len(body)) + body


def gesture_array(events: Events) -> np.ndarray[Any, Any]:
    """tonic's form: float64 [N, 4] of x, y, p and milliseconds."""
    return np.stack([events.x, events.y, events.p, events.t / 1000], 1).astype(np.float64)


def write_nmnist(root: Path, train: int = 3, test: int = 2, count: int = 200) -> Path:
    """`train` and `test` recordings of each digit in <root>/NMNIST."""
    folder = root / "NMNIST"
    for part, each in (("Train", train), ("Test", test)):
        for digit in range(10):
            (folder / part / str(digit)).mkdir(parents=True)
            for i in range(each):
                number = 1 + 10 * i + digit
                events = make_events(1000 * (part == "Test") + 10 * number + digit, count, size=34)
                (folder / part / str(digit) / f"{number:05d}.bin").write_bytes(nmnist_bytes(events))
    return folder


def write_cifar10dvs(
    root: Path, source: str, numbers: tuple[int, ...] = (0, 1, 10, 91, 900, 999), count: int = 200
) -> Path:
    """Files of those numbers in each class, as AEDAT 2.0 or 4.0."""
    folder = root / ("CIFAR10DVS" if source == "aedat4" else "CIFAR10DVS-aedat2")
    encode, suffix = (aedat4_bytes, "aedat4") if source == "aedat4" else (aedat2_bytes, "aedat")
    for label, name in enumerate(CIFAR_CLASSES):
        (folder / name).mkdir(parents=True)
        for number in reversed(numbers):  # the directory's order is not the numbers' order
            events = make_events(10 * number + label, count)
            (folder / name / f"cifar10_{name}_{number}.{suffix}").write_bytes(encode(events))
    return folder


def write_ibm_gesture(root: Path, users: tuple[int, ...] = (2, 11, 24), test_users: tuple[int, ...] = (24,)) -> Path:
    """A recording of 12 gestures per user, the eighth class twice."""
    folder = root / "DvsGesture"
    folder.mkdir(parents=True)
    names: dict[bool, list[str]] = {True: [], False: []}
    for user in users:
        name = f"user{user:02d}_led"
        rows, pieces = ["class,startTime_usec,endTime_usec"], []
        for i, label in enumerate([*range(1, 12), 8]):
            start = 2**31 - 3_000_000 + i * 400_000  # times pass 2^31 us on the way
            pieces.append(make_events(1000 * user + 10 * i + label - 1, 150, start=start))
            rows.append(f"{label},{start},{start + 300_000}")
        events = Events(*(np.concatenate(values) for values in zip(*pieces, strict=True)))
        (folder / f"{name}.aedat").write_bytes(aedat3_bytes(events))
        (folder / f"{name}_labels.csv").write_text("\n".join(rows) + "\n")
        names[user in test_users].append(f"{name}.aedat")
    (folder / "trials_to_train.txt").write_text("\n".join(names[False]) + "\n")
    (folder / "trials_to_test.txt").write_text("\n".join(names[True]) + "\n\n")
    return folder


def write_tonic_gesture(root: Path, train: tuple[int, ...] = (10, 2), test: tuple[int, ...] = (24,)) -> Path:
    """One .npy per user and class."""
    folder = root / "DVSGesture"
    for part, users in (("Train", train), ("Test", test)):
        for user in users:
            person = folder / f"ibmGesture{part}" / f"user{user:02d}_lab"
            person.mkdir(parents=True)
            for label in range(11):
                np.save(person / f"{label}.npy", gesture_array(make_events(100 * user + label, 150)))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def write_one(kind: str, root: Path) -> tuple[object, Path]:
    """A source over a few files, and one of them."""
    if kind == "nmnist":
        return NMNIST(root, subset=True), write_nmnist(root) / "Train" / "3" / "00004.bin"
    if kind in ("aedat2", "aedat4"):
        make = AEDAT2 if kind == "aedat2" else AEDAT4
        return make(root, subset=True), write_cifar10dvs(root, kind) / "cat" / f"cifar10_cat_1.{make.suffix}"
    if kind == "ibm":
        return IBMGesture(root, subset=True), write_ibm_gesture(root) / "user11_led.aedat"
    path = write_tonic_gesture(root) / "ibmGestureTrain" / "user02_lab" / "4.npy"
    return TonicGesture(root, subset=True), path
