"""Frames of a fixed duration, in clips that lie evenly over a recording: where each begins and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from snnbench.data.events.frames import FrameRule


def clip_starts(length: int, width: int, clips: int) -> NDArray[np.int64]:
    """When each clip begins, in microseconds after the first event, int64 [clips].

    As in the code of TA-SNN (BICLab/TA-SNN): they follow each other at the distance at which together they cover the
    recording, overlapping where they are longer than it; one that would go past its end begins so much earlier.

    Args:
        length: of the recording.
        width: of a clip.
        clips: how many.
    """
    spare = length - clips * width
    step = width + spare // clips if spare >= 0 else width - (-spare) // clips
    return np.minimum(np.arange(clips, dtype=np.int64) * step, length - width)


def clip_bounds(t: NDArray[np.int64], rule: FrameRule) -> NDArray[np.int64]:
    """First event of each frame and the first after it, int64 [clips * T, 2], clip by clip; equal where it is empty.

    A clip's frames count from its first event, so that its last frame may be cut off where the clip ends. The events at
    the very end of a recording, of the last microsecond, belong to none.

    Args:
        t: Times [N], N > 0, ascending.
        rule: T, duration and clips.
    """
    assert rule.duration is not None
    width, used = rule.T * rule.duration, t[t < t[-1]] if t[0] < t[-1] else t
    used = used - used[0]
    bounds = np.zeros((rule.clips, rule.T, 2), np.int64)
    for clip, start in zip(bounds, clip_starts(int(used[-1]), width, rule.clips), strict=True):
        first, stop = np.searchsorted(used, [start, start + width])
        begins = used[first] if first < stop else 0
        edges = first + np.searchsorted(used[first:stop], begins + np.arange(rule.T + 1) * rule.duration)
        clip[:, 0], clip[:, 1] = edges[:-1], edges[1:]
    return bounds.reshape(-1, 2)
