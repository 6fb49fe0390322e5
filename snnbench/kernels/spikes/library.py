"""spikes.cpp, compiled once in a process, and its functions as Python calls."""

from __future__ import annotations

import ctypes
import functools
import re
from pathlib import Path

import torch
from torch import Tensor

from snnbench.kernels.cell import NoEngine
from snnbench.kernels.engines import build

SERIAL = 1 << 15
"""Up to so many numbers, one thread is faster than waking others."""


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled functions; None where there is no compiler or no cache folder, as for the neurons' kernels."""
    try:
        found = build.build(text())
    except NoEngine:
        return None
    found.pack.restype = ctypes.c_long
    for name in ("unpack", "arrange", "convolve", "differentiate"):
        getattr(found, name).restype = None
    return found


def text() -> str:
    """The translation unit: spikes.cpp with its headers of this folder written in."""
    here = Path(__file__).parent
    return re.sub(
        r'^#include "(\w+\.h)"$', lambda m: (here / m[1]).read_text(), (here / "spikes.cpp").read_text(), flags=re.M
    )


def call(name: str, *arguments: Tensor | int | ctypes.Array[ctypes.c_long] | None) -> int:
    """Call a function of spikes.cpp; tensors go as addresses, None as no address."""
    loaded = library()
    assert loaded is not None
    return getattr(loaded, name)(*map(_plain, arguments))


def _plain(value: Tensor | int | ctypes.Array[ctypes.c_long] | None) -> object:
    if value is None or isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr() if value is not None else None)
    return ctypes.c_long(value) if isinstance(value, int) else value


def threads(work: int) -> int:
    """For so many numbers."""
    return 1 if work <= SERIAL else torch.get_num_threads()
