"""Forward and backward through autograd, beside SpikingJelly, snnTorch and torch.compile of the plain loop."""

from __future__ import annotations

import functools
import os
from typing import Any

import jelly
import torch
from benchmark_kernels import run_case

from on_gpu.apart import apart
from on_gpu.kernels import case_of
from on_gpu.record import Record

SECONDS, APART, LEAST = 0.6, 90.0, 15.0
"""Of a measurement; of a process that compiles, or has SpikingJelly's other implementation, at most and at least."""
LIBRARIES, COMPILER = ("spikingjelly", "snntorch"), ("compile",)
EAGER = (
    ("LIF", 4, "float32"), ("LIF", 4, "float16"), ("LIF", 16, "float32"), ("LIF", 16, "float16"),
    ("CLIF", 4, "float32"), ("PLIF", 4, "float32"), ("ARLIF", 4, "float32"), ("DALIF", 4, "float32"),
    ("CLIF", 4, "float16"), ("PLIF", 4, "float16"), ("ARLIF", 4, "float16"), ("CLIF", 16, "float32"),
    ("PLIF", 16, "float32"), ("ARLIF", 16, "float32"),
)  # fmt: skip
COMPILED = (("LIF", 4, "float32"), ("ARLIF", 4, "float32"), ("LIF", 16, "float16"), ("CLIF", 4, "float32"))
OTHER = "torch"
"""SpikingJelly's implementation that a process of its own takes."""

Key = tuple[str, int, str]


def run(record: Record) -> None:
    """The most telling first; the stage's own process takes the fastest of SpikingJelly's implementations."""
    os.environ |= jelly.choose("auto")
    for eager, compiled in ((EAGER[:6], COMPILED[:2]), (EAGER[6:], COMPILED[2:])):
        record.measure({name(key): functools.partial(row_of, key, LIBRARIES) for key in eager})
        record.measure({f"{name(key)} compile": functools.partial(other, key, COMPILER, record) for key in compiled})
    names = LIBRARIES[:1]
    record.measure({f"{name(key)} {OTHER}": functools.partial(other, key, names, record) for key in EAGER[:3]})


def name(key: Key) -> str:
    neuron, steps, dtype = key
    return f"{neuron} T={steps} {dtype}"


def row_of(key: Key, names: tuple[str, ...], device: str = "cuda") -> dict[str, Any]:
    torch.cuda.empty_cache()
    case = case_of(*key, device)
    return run_case(case, set(names), SECONDS, learns=True)


def other(key: Key, names: tuple[str, ...], record: Record) -> dict[str, Any]:
    """The same in a process of its own: for torch.compile, or with SpikingJelly's other implementation."""
    env = dict(os.environ) if names == COMPILER else jelly.choose(OTHER)
    return apart("on_gpu.rivals", [key, names], record, APART, LEAST, env)


def answer(given: Any) -> dict[str, Any]:
    key, names = given
    return row_of(tuple(key), tuple(names))
