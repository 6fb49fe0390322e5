"""What torch.compile has to look out for, so that a fused program stays the right one."""

from __future__ import annotations

import types
from typing import Any

from torch import Tensor, nn

from snnbench.kernels import values
from snnbench.kernels.reads import Place, Reads
from snnbench.kernels.values import ABSENT, TABLES


def guards(reads: Reads) -> tuple[tuple[tuple[str, ...], Any], ...] | None:
    """The values read, by the attributes that lead to them from the cell; None where something else was read.

    Code is left out: functions of classes and modules with their defaults, as long as those are constants, classes,
    modules and what libraries define.
    """
    paths: dict[int, tuple[str, ...]] = {id(reads.cell): ()}
    found = []
    for place in reads.places.values():
        value, holder = place.value, place.holder
        if id(value) in reads.looked:
            return None
        if isinstance(value, _CODE) and not isinstance(holder, (types.ModuleType, type, types.FunctionType)):
            return None  # an attribute, which may be given another function
        if isinstance(value, (*_CODE, Tensor)) or value is ABSENT or _is_signature(place):
            continue
        if isinstance(holder, types.ModuleType) and values.is_library(holder.__name__):
            continue
        owner = next((key for key, (one, *_) in reads.reached.items() if key in paths and _owns(one, holder)), None)
        if owner is None or place.kind not in ("dict", *TABLES):
            return None
        path = (*paths[owner], place.name)
        if values.frozen(value):
            found.append((path, value))
        elif path == ("spike",) or isinstance(value, nn.Module):
            paths.setdefault(id(value), path)
        else:
            return None
    return tuple(found)


_CODE = (types.FunctionType, types.BuiltinFunctionType, type, types.ModuleType, property, staticmethod, classmethod)


def _is_signature(place: Place) -> bool:
    """Whether it holds a function's defaults, and they are constants."""
    if place.kind == "__defaults__":
        return values.frozen(place.value)
    return place.kind == "__kwdefaults__" and all(map(values.frozen, place.value.values()))


def _owns(owner: Any, holder: Any) -> bool:
    """Whether an attribute of `holder` is one of `owner`: it is the holder, or an object of that class."""
    return owner is holder or (isinstance(holder, type) and isinstance(owner, holder))
