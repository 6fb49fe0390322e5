"""spikes.cpp, compiled once in a process, and its functions as Python calls."""

from __future__ import annotations

import ctypes
from pathlib import Path

from snnbench.kernels.native import Native

_cpp = Native(Path(__file__).with_name("spikes.cpp"), counts=("pack", "multiplies"))
call = _cpp.call


def library() -> ctypes.CDLL | None:
    """The compiled functions; None where there is no compiler or no cache folder, as for the neurons' kernels."""
    return _cpp.library
