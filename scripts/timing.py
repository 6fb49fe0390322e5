"""Times and memory, measured so that they can be compared: in turn, with medians, beside a copy as the yardstick."""

from __future__ import annotations

import ctypes
import itertools
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


class Stopwatch:
    """Seconds of one call, the device's work included."""

    def __init__(self, device: str, clock: str = "wall") -> None:
        self.wait: Callable[[], None] = torch.cuda.synchronize if device == "cuda" else lambda: None
        self.clock = CLOCKS[clock]

    def __call__(self, step: Callable[[], Any]) -> float:
        self.wait()
        began = self.clock()
        step()
        self.wait()
        return self.clock() - began


def interleaved(
    steps: dict[str, Callable[[], Any]], device: str, seconds: float, clock: str = "wall"
) -> dict[str, list[float]]:
    """Times of each step, taken in turn for about `seconds` in all, at least 7 rounds, after two unrecorded ones."""
    watch = Stopwatch(device, clock)
    for step in itertools.chain(steps.values(), steps.values()):
        watch(step)
    times: dict[str, list[float]] = {name: [] for name in steps}
    end, yardstick = time.perf_counter() + seconds, next(iter(times.values()))
    while time.perf_counter() < end or len(yardstick) < 7:
        for name, step in steps.items():
            times[name].append(watch(step))
    return times


def spread(times: list[float]) -> float:
    """Interquartile range over the median."""
    low, middle, high = statistics.quantiles(times, n=4)
    return (high - low) / middle


def timed(steps: dict[str, Callable[[], Any]], device: str, seconds: float) -> tuple[dict[str, float], float]:
    """Median seconds of each, and the spread of the first, the yardstick; taken up to three times till it is steady."""
    for _ in range(3):
        times = interleaved(steps, device, seconds)
        unsteady = spread(next(iter(times.values())))
        if unsteady <= STEADY:
            break
    return {name: statistics.median(values) for name, values in times.items()}, unsteady


def saved_bytes(step: Callable[[], Any]) -> int:
    """Bytes that autograd keeps between forward and backward, each storage counted once."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(kept.values())


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
