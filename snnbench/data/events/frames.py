"""Events to frames: T slices of a recording, each summed up per polarity and pixel."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SLICINGS = ("number", "time", "windows")
ORIGINS = ("first", "clock")
REMAINDERS = ("last", "drop")
ORDERS = ("strict", "file", "sort")
COUNTS = (np.uint8, np.uint16, np.uint32)
"""What counts are stored as: the first that holds the largest."""


class Events(NamedTuple):
    """The events of one sample, each an integer array [N], in the order of the recording.

    x: column; y: row; p: polarity, 0 (OFF) or 1 (ON); t: time in microseconds.
    """

    x: NDArray[np.integer]
    y: NDArray[np.integer]
    p: NDArray[np.integer]
    t: NDArray[np.int64]

    def select(self, which: NDArray[Any]) -> Events:
        """The events that an index array or a mask selects."""
        return Events(self.x[which], self.y[which], self.p[which], self.t[which])


class Windows(NamedTuple):
    """Frames of a fixed duration; events outside of all of them are left out.

    Args:
        width: Of each, in microseconds.
        starts: Where each begins, in microseconds after the origin; one for each frame.
        origin: The time of a sample's "first" event, or zero of the recording's "clock".
    """

    width: int
    starts: tuple[int, ...]
    origin: str = "first"


class FrameRule(NamedTuple):
    """How events become frames; all of it is part of a result.

    Args:
        T: Number of frames.
        slicing: "number": slice i is events [i w, (i + 1) w), w = N // T. "time": those with
            t_0 + i w <= t < t_0 + (i + 1) w, w = (t_last - t_0) // T. "windows": see `Windows`.
        remainder: "last": the last slice also takes what the division leaves over, so that every event is kept, as
            SpikingJelly and the papers' code do. "drop": it is left out, as tonic does.
        time_order: "strict": timestamps that go back are an error. "file": events are taken in the order of the
            file, whatever their timestamps. "sort": they are sorted by time first, stably.
        windows: For slicing "windows", T of them.
    """

    T: int
    slicing: str = "number"
    remainder: str = "last"
    time_order: str = "strict"
    windows: Windows | None = None

    def described(self) -> dict[str, Any]:
        """All of it that is set, by name, as JSON has it."""
        given = self._asdict()
        windows = given.pop("windows")
        return given if windows is None else {**given, "windows": {**windows._asdict(), "starts": [*windows.starts]}}


def complaint(events: Events, height: int, width: int, time_order: str) -> str:
    """What is wrong with the events of one sample, or an empty string."""
    x, y, p, t = events
    if not len(t):
        return "it has no events"
    for name, values, stop in (("x", x, width), ("y", y, height), ("polarity", p, 2)):
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= stop:
            value = low if low < 0 else high
            return f"an event's {name} is {value}, outside 0 to {stop - 1} of the {height}x{width} sensor"
    if time_order == "strict" and bool((back := t[1:] < t[:-1]).any()):
        at = int(back.argmax())
        return (
            f"time goes back from {t[at]} to {t[at + 1]} us at event {at + 1} of {len(t)}; data.time_order=file "
            "takes the events as they stand in the file, data.time_order=sort sorts them"
        )
    return ""


def slice_bounds(t: NDArray[np.int64], rule: FrameRule) -> NDArray[np.int64]:
    """First event of each slice and the first after it, int64 [T, 2]; equal where a slice is empty.

    Args:
        t: Times [N], N > 0; ascending unless slicing is "number".
        rule: T, slicing, remainder and windows.
    """
    if rule.windows is not None:
        begin = np.array(rule.windows.starts, np.int64) + (int(t[0]) if rule.windows.origin == "first" else 0)
        return np.stack([np.searchsorted(t, edge) for edge in (begin, begin + rule.windows.width)], axis=1)
    if rule.slicing == "number":
        edges = np.arange(rule.T + 1, dtype=np.int64) * (len(t) // rule.T)
    else:
        width = (int(t[-1]) - int(t[0])) // rule.T
        edges = np.searchsorted(t, int(t[0]) + np.arange(rule.T + 1, dtype=np.int64) * width).astype(np.int64)
    if rule.remainder == "last":
        edges[-1] = len(t)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def to_frames(events: Events, height: int, width: int, rule: FrameRule) -> NDArray[np.unsignedinteger]:
    """Count the events of each slice per polarity and pixel.

    Args:
        events: Of one sample, without a `complaint`.
        height: Rows of the sensor.
        width: Columns of the sensor.
        rule: How to slice.

    Returns:
        [T, 2, height, width], channel 0 the OFF events; of the first type in COUNTS that holds the largest count.
    """
    x, y, p, t = sort_by_time(events) if rule.time_order == "sort" else events
    pixels = 2 * height * width
    frames = np.empty((rule.T, pixels), COUNTS[0])
    narrow: type[np.signedinteger[Any]] = np.int16 if pixels <= 2**15 else np.int64  # 128x128 just fits
    for i, (start, stop) in enumerate(slice_bounds(t, rule)):
        # slice by slice, so that the positions and the counts stay in the cache
        place = p[start:stop].astype(narrow)
        place *= height
        place += y[start:stop]
        place *= width
        place += x[start:stop]
        counts = np.bincount(place, minlength=pixels)
        if (highest := counts.max()) > np.iinfo(frames.dtype).max:
            frames = frames.astype(count_type(int(highest)))
        frames[i] = counts
    return frames.reshape(rule.T, 2, height, width)


def count_type(highest: int) -> type[np.unsignedinteger]:
    """The first of COUNTS that holds `highest`."""
    return next(kind for kind in COUNTS if highest <= np.iinfo(kind).max)


def sort_by_time(events: Events) -> Events:
    """The events in ascending time; those of the same time keep their order."""
    order = np.argsort(events.t, kind="stable")
    return events.select(order)
