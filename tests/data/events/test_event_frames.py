from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snnbench.data.events.frames import Events, FrameRule, Windows, complaint, sort_by_time, to_frames
from tests.data.events.event_files import make_events

H, W = 9, 13


def events_of(times: list[int], seed: int = 0) -> Events:
    rng = np.random.default_rng(seed)
    n = len(times)
    return Events(rng.integers(0, W, n), rng.integers(0, H, n), rng.integers(0, 2, n), np.array(times, np.int64))


def loop(events: Events, rule: FrameRule) -> np.ndarray:
    """Event by event, straight from the definition."""
    frames = np.zeros((rule.T, 2, H, W), np.int64)
    n, t0 = len(events.t), int(events.t[0])
    for i, (x, y, p, t) in enumerate(zip(*events, strict=True)):
        if rule.slicing == "number":
            width = n // rule.T
            place = i // width if width else rule.T
        else:
            width = (int(events.t[-1]) - t0) // rule.T
            place = (int(t) - t0) // width if width else rule.T
        if place >= rule.T:
            if rule.remainder == "drop":
                continue
            place = rule.T - 1
        frames[place, p, y, x] += 1
    return frames


@settings(max_examples=150, deadline=None)
@given(
    times=st.lists(st.integers(0, 60), min_size=1, max_size=90).map(sorted),
    T=st.integers(1, 20),
    slicing=st.sampled_from(["number", "time"]),
    remainder=st.sampled_from(["last", "drop"]),
)
def test_frames_are_those_of_a_plain_loop(times, T, slicing, remainder):
    rule, events = FrameRule(T, slicing, remainder), events_of(times)
    frames = to_frames(events, H, W, rule)
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, loop(events, rule))
    if remainder == "last":
        assert frames.sum() == len(times)


@settings(max_examples=50, deadline=None)
@given(
    times=st.lists(st.integers(3, 60), min_size=1, max_size=90).map(sorted),
    width=st.integers(1, 20),
    starts=st.lists(st.integers(-5, 60), min_size=1, max_size=6),
    origin=st.sampled_from(["first", "clock"]),
)
def test_windows_hold_what_happens_within_them(times, width, starts, origin):
    events = events_of(times)
    frames = to_frames(events, H, W, FrameRule(len(starts), "windows", "drop", windows=Windows(width, starts, origin)))
    expected = np.zeros(frames.shape)
    zero = times[0] if origin == "first" else 0
    for frame, start in zip(expected, starts, strict=True):
        for x, y, p, t in zip(*events, strict=True):
            frame[p, y, x] += start <= t - zero < start + width
    np.testing.assert_array_equal(frames, expected)


@pytest.mark.parametrize("slicing", ["number", "time"])
@pytest.mark.parametrize(("count", "T"), [(1000, 16), (1003, 7), (50, 1), (5, 8)])
def test_drop_is_tonics_rule(slicing, count, T):
    pytest.importorskip("tonic")
    from tonic.transforms import ToFrame

    events = make_events(3, count, span=7919)
    kinds = [("x", np.int16), ("y", np.int16), ("p", np.int8), ("t", np.int64)]
    structured = np.rec.fromarrays(list(events), dtype=kinds)
    bins = {"n_event_bins": T} if slicing == "number" else {"n_time_bins": T}
    theirs = ToFrame((128, 128, 2), **bins)(structured)
    np.testing.assert_array_equal(to_frames(events, 128, 128, FrameRule(T, slicing, "drop")), theirs)


@pytest.mark.parametrize("slicing", ["number", "time"])
@pytest.mark.parametrize(("count", "T"), [(1000, 16), (1003, 7), (50, 1)])
def test_last_is_spikingjellys_rule(sj_datasets, slicing, count, T):
    events = make_events(3, count, span=7919)
    theirs = sj_datasets.integrate_events_by_fixed_frames_number(events._asdict(), slicing, T, 128, 128)
    np.testing.assert_array_equal(to_frames(events, 128, 128, FrameRule(T, slicing, "last")), theirs)


def test_an_empty_slice_is_a_frame_of_zeros():
    events = events_of([0, 1, 2, 97, 98, 99])
    frames = to_frames(events, H, W, FrameRule(5, "time"))
    assert frames.sum((1, 2, 3)).tolist() == [3, 0, 0, 0, 3]
    frames = to_frames(events, H, W, FrameRule(8, "number"))
    assert frames.sum((1, 2, 3)).tolist() == [0] * 7 + [6]


@pytest.mark.parametrize(
    ("count", "kind"), [(255, np.uint8), (256, np.uint16), (65_535, np.uint16), (65_536, np.uint32)]
)
def test_counts_never_wrap(count, kind):
    zeros = np.zeros(count, np.int64)
    frames = to_frames(Events(zeros, zeros, zeros, zeros), H, W, FrameRule(1))
    assert frames.dtype == kind
    assert frames[0, 0, 0, 0] == count == frames.sum(dtype=np.int64)


def test_small_and_unsigned_types_do_not_overflow_in_positions():
    full = Events(np.full(4, 255, np.uint8), np.full(4, 255, np.uint8), np.ones(4, bool), np.arange(4))
    assert to_frames(full, 256, 256, FrameRule(2))[1, 1, 255, 255] == 2


@pytest.mark.parametrize(("height", "width"), [(128, 128), (128, 129), (260, 346)])
@pytest.mark.parametrize("kind", [np.int16, np.int64])
def test_the_last_pixel_of_a_sensor_has_its_own_place(height, width, kind):
    corner = Events(np.full(2, width - 1, kind), np.full(2, height - 1, kind), np.ones(2, np.int8), np.arange(2))
    frames = to_frames(corner, height, width, FrameRule(1))
    assert frames[0, 1, -1, -1] == frames.sum() == 2


def test_order():
    events = events_of([5, 1, 3, 1])
    ordered = sort_by_time(events)
    assert ordered.t.tolist() == [1, 1, 3, 5]
    assert ordered.x.tolist() == events.x[[1, 3, 2, 0]].tolist()
    by_file = to_frames(events, H, W, FrameRule(4, time_order="file"))
    by_time = to_frames(events, H, W, FrameRule(4, time_order="sort"))
    assert by_file[0, events.p[0], events.y[0], events.x[0]] == 1
    np.testing.assert_array_equal(by_time, to_frames(ordered, H, W, FrameRule(4)))


def test_complaints():
    good = events_of([0, 0, 7])
    assert complaint(good, H, W, "strict") == ""
    assert "no events" in complaint(events_of([]), H, W, "strict")
    assert f"x is {W}, outside 0 to {W - 1}" in complaint(good._replace(x=np.array([0, W, 0])), H, W, "strict")
    assert "y is -1" in complaint(good._replace(y=np.array([0, -1, 0])), H, W, "strict")
    assert "polarity is 2" in complaint(good._replace(p=np.array([0, 2, 0])), H, W, "strict")
    back = events_of([0, 9, 8, 10])
    assert "from 9 to 8 us at event 2 of 4" in complaint(back, H, W, "strict")
    assert complaint(back, H, W, "file") == complaint(back, H, W, "sort") == ""
