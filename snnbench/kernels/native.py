"""C++ of this project that is no neuron's kernel: compiled once in a process, its functions as Python calls."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from snnbench.kernels.cell import NoEngine
from snnbench.kernels.codegen.source import with_headers
from snnbench.kernels.engines import build

Argument = Tensor | int | float | ctypes.Array[ctypes.c_long] | ctypes.Array[ctypes.c_double] | None


class Native:
    """The functions of one C++ file, which includes headers of its folder.

    Args:
        path: the file.
        counts: the names of the functions that return a long.
    """

    def __init__(self, path: Path, counts: Sequence[str] = ()) -> None:
        self.path, self.counts = path, counts

    def text(self) -> str:
        """The translation unit, with its headers written in."""
        return with_headers(self.path.read_text("utf-8"), self.path.parent)

    @functools.cached_property
    def library(self) -> ctypes.CDLL | None:
        """None where there is no compiler or no cache folder, as for the neurons' kernels."""
        try:
            return build.build(self.text())
        except NoEngine:
            return None

    def call(self, name: str, *arguments: Argument) -> int:
        """Call a function; tensors go as addresses, None as no address."""
        assert self.library is not None
        function = getattr(self.library, name)
        function.restype = ctypes.c_long if name in self.counts else None
        return function(*map(_plain, arguments))


def _plain(value: Argument) -> object:
    if value is None or isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr() if value is not None else None)
    if isinstance(value, int):
        return ctypes.c_long(value)
    return ctypes.c_double(value) if isinstance(value, float) else value
