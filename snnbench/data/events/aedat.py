"""The two AEDAT formats that tonic's own readers fail on: 2.0 (jAER) and 3.1 (IBM's recordings)."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from snnbench.data.events.frames import Events
from snnbench.data.files import damaged

_PACKET = struct.Struct("<HHIIIIII")
_POLARITY = 1


def read_aedat2(path: Path) -> Events:
    """A DVS128 recording in AEDAT 2.0, with the axes and polarity that SpikingJelly gives it.

    Raw column c, row r and polarity q become x = 127 - r, y = 127 - c, p = 1 - q.

    Raises:
        UserError: The file is of another format, or cut off.
    """
    check_magic(path, b"#!AER-DAT2.0")
    content, at = path.read_bytes(), 0
    while content[at : at + 1] == b"#":
        at = content.find(b"\n", at) + 1
        if not at:
            raise damaged(path, "its header has no end")
    if (len(content) - at) % 8:
        raise damaged(path, "it ends in the middle of an event")
    raw = np.frombuffer(content, np.dtype(">u4"), offset=at).reshape(-1, 2)
    address = raw[:, 0].astype(np.uint16)  # the bits above are unused
    column, row, polarity = (address >> 1) & 127, (address >> 8) & 127, address & 1
    return Events(127 - row, 127 - column, 1 - polarity, raw[:, 1].astype(np.int64))


def read_aedat3(path: Path) -> Events:
    """All polarity events of a recording in AEDAT 3.1; times are extended past 2^31 us by the packets' overflow count.

    Raises:
        UserError: The file is of another format, or cut off.
    """
    check_magic(path, b"#!AER-DAT3.1")
    content = path.read_bytes()
    end = b"#!END-HEADER\r\n"
    at = content.find(end)
    if at < 0:
        raise damaged(path, "its header has no end")
    at += len(end)
    words, times = [np.empty(0, np.uint32)], [np.empty(0, np.int64)]
    while at < len(content):
        if at + _PACKET.size > len(content):
            raise damaged(path, "it ends in the middle of a packet's header")
        kind, _, size, _, overflow, capacity, number, _ = _PACKET.unpack_from(content, at)
        at += _PACKET.size
        if at + capacity * size > len(content):
            raise damaged(path, f"it ends in the middle of a packet of {capacity} events")
        if kind == _POLARITY:
            if size != 8 or number > capacity:
                raise damaged(path, f"a packet announces {number} of {capacity} events of {size} bytes")
            events = np.frombuffer(content, np.dtype("<u4"), 2 * number, at).reshape(-1, 2)
            words.append(events[:, 0])
            times.append(events[:, 1].astype(np.int64) | overflow << 31)
        at += capacity * size
    word = np.concatenate(words).astype(np.int64)
    return Events(word >> 17 & 0x7FFF, word >> 2 & 0x7FFF, word >> 1 & 1, np.concatenate(times))


def check_magic(path: Path, magic: bytes) -> None:
    """Raise a UserError unless the file starts with `magic`."""
    with path.open("rb") as file:
        found = file.read(len(magic))
    if found != magic:
        shown = f"it starts with {found!r}, not with {magic!r}" if found else "it is empty (0 bytes)"
        raise damaged(path, shown)
