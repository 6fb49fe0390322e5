"""spikes.cpp, compiled once in a process, and its functions as Python calls."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

from torch import Tensor

from snnbench.kernels.cell import NoEngine
from snnbench.kernels.codegen.source import with_headers
from snnbench.kernels.engines import build

FUNCTIONS = (
    *("unpack", "convolve", "differentiate", "multiply", "multiply_back", "multiply_weight"),
    *("maximum_pool", "maximum_unpool", "average_pool", "average_unpool"),
)
"""What spikes.cpp exports that returns nothing."""


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled functions; None where there is no compiler or no cache folder, as for the neurons' kernels."""
    try:
        found = build.build(text())
    except NoEngine:
        return None
    found.pack.restype = found.multiplies.restype = ctypes.c_long
    for name in FUNCTIONS:
        getattr(found, name).restype = None
    return found


def text() -> str:
    """The translation unit: spikes.cpp with its headers of this folder written in."""
    here = Path(__file__).parent
    return with_headers((here / "spikes.cpp").read_text("utf-8"), here)


def call(name: str, *arguments: Tensor | int | ctypes.Array[ctypes.c_long] | None) -> int:
    """Call a function of spikes.cpp; tensors go as addresses, None as no address."""
    loaded = library()
    assert loaded is not None
    return getattr(loaded, name)(*map(_plain, arguments))


def _plain(value: Tensor | int | ctypes.Array[ctypes.c_long] | None) -> object:
    if value is None or isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr() if value is not None else None)
    return ctypes.c_long(value) if isinstance(value, int) else value
