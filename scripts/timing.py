"""Times and memory, measured so that they can be compared: in turn, with medians, beside a copy as the yardstick."""

from __future__ import annotations

import ctypes
import gc
import itertools
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

STEADY = 0.15
"""A measurement is steady if the interquartile range of the copy's times is at most this share of their median."""


MALLOPT = {"reused": ((-4, 0), (-1, -1)), "fresh": ((-3, 1 << 20),), "system": ()}
"""Options and values for mallopt: no mmap and no trimming; every block of a MiB from mmap; as it comes."""


def fix_memory(kind: str) -> None:
    """Choose whether large tensors on the CPU get memory that was used before, or always new pages.

    Left to itself, glibc gives some contestants the one and some the other, as it happens, and the page faults of a
    new 64 MiB tensor take longer than the pass that fills it.

    Raises:
        OSError: the C library is not glibc.
    """
    for option, value in MALLOPT[kind]:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is None or not mallopt(option, value):
            raise OSError(f"--memory {kind}: needs glibc. Use --memory system.")


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""What passes, or what this process computes: all of its threads together, so of one thread on a machine in use."""


Steps = dict[str, Callable[[], Any]]


def copier(x: Tensor) -> Callable[[], Any]:
    """A pass that reads one tensor like x and writes another.

    On a GPU it negates: a copy in a CUDA graph is no kernel, and reached 2.7 TB/s on an H200 where a sum of two tensors
    reached 4.4.
    """
    out = torch.empty_like(x)
    return (lambda: torch.neg(x, out=out)) if x.is_cuda else (lambda: out.copy_(x))


LAP = 2e-3
"""Seconds that a device works at least between two events: their own cost and the host's first call are then lost."""
ROUNDS = 7, 500
"""At least and at most so many rounds."""


def interleaved(steps: Steps, device: str, seconds: float, clock: str = "wall") -> dict[str, list[float]]:
    """Times of each step, taken in turn for about `seconds` in all, at least 7 rounds, after two unrecorded ones.

    On a GPU, as its events say: see `between_events`; the clock then does not matter.
    """
    for step in itertools.chain(steps.values(), steps.values()):
        step()
    if device == "cuda":
        return between_events(steps, seconds)
    now = CLOCKS[clock]
    times: dict[str, list[float]] = {name: [] for name in steps}
    end, yardstick = time.perf_counter() + seconds, next(iter(times.values()))
    while time.perf_counter() < end or len(yardstick) < ROUNDS[0]:
        for name, step in steps.items():
            began = now()
            step()
            times[name].append(now() - began)
    return times


def between_events(steps: Steps, seconds: float) -> dict[str, list[float]]:
    """Seconds of each step on the GPU, in turn; the host waits for it once before the first round and after the last.

    A lap is as many calls as take 2 ms. Of a step whose launches take the host longer than the device this is the
    host's time; `replays` has the device's.
    """
    laps = {name: _lap(step) for name, step in steps.items()}
    whole = sum(calls * each for calls, each in laps.values())
    rounds = min(max(ROUNDS[0], round(seconds / whole)), ROUNDS[1])
    marks: dict[str, list[tuple[Any, Any]]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            marks[name].append(_marked(step, laps[name][0]))
    torch.cuda.synchronize()
    return {
        name: [start.elapsed_time(end) / 1e3 / laps[name][0] for start, end in pairs] for name, pairs in marks.items()
    }


def _marked(step: Callable[[], Any], calls: int) -> tuple[Any, Any]:
    """Events before and after so many calls."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(calls):
        step()
    end.record()
    return start, end


def _lap(step: Callable[[], Any]) -> tuple[int, float]:
    """How many calls a lap has, and about how many seconds one takes."""
    torch.cuda.synchronize()
    start, end = _marked(step, 3)
    torch.cuda.synchronize()
    each = max(start.elapsed_time(end) / 3e3, 1e-6)
    return max(1, math.ceil(LAP / each)), each


def failure(error: Exception) -> str:
    """What went wrong with a contestant, in a line."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def replays(steps: Steps) -> tuple[Steps, dict[str, str]]:
    """The steps as CUDA graphs, of which the host launches all at once, and why one of them is none (it is left out).

    What a step allocates stays in the graph's own memory, and what it returned is written anew by each replay.
    """
    found: Steps = {}
    failures = {}
    for name, step in steps.items():
        try:
            found[name] = captured(step)
        except Exception as error:  # whatever a library raises in a capture
            torch.cuda.synchronize()
            failures[name] = failure(error)
    return found, failures


def captured(step: Callable[[], Any], calls: int = 1) -> Callable[[], Any]:
    """A replay of `calls` calls of a step; it has run before, so that nothing is compiled in the capture."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    gc.collect()  # an older graph that is freed within a capture ends it
    gc.disable()
    try:
        with torch.cuda.graph(graph):
            for _ in range(calls):
                step()
    finally:
        gc.enable()
    return graph.replay


def spread(times: list[float]) -> float:
    """Interquartile range over the median."""
    low, middle, high = statistics.quantiles(times, n=4)
    return (high - low) / middle


def timed(steps: Steps, device: str, seconds: float) -> tuple[dict[str, float], float]:
    """Median seconds of each, and the spread of the first, the yardstick; taken up to three times till it is steady."""
    for _ in range(3):
        times = interleaved(steps, device, seconds)
        unsteady = spread(next(iter(times.values())))
        if unsteady <= STEADY:
            break
    return {name: statistics.median(values) for name, values in times.items()}, unsteady


def peak_bytes(step: Callable[[], Any]) -> int:
    """Bytes that a step allocates on the GPU at its worst, beyond what was there."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def launches(step: Callable[[], Any]) -> int:
    """Kernels that a step launches on the GPU."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        step()
        torch.cuda.synchronize()
    return sum(1 for event in profile.events() if event.device_type == torch.autograd.DeviceType.CUDA)
