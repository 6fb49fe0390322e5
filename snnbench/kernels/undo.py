"""What a step may write while it is traced, as it was before, so that it can be put back."""

from __future__ import annotations

import collections
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snnbench.kernels.values import ABSENT, TABLES, bits, has_names, slots


class Contents:
    """A container, an array or a small tensor, as it was."""

    def __init__(self, value: Any, label: str) -> None:
        self.value, self.label = value, label
        self.old = self._look()

    def changes(self) -> list[str]:
        now = self._look()
        if isinstance(now, bytes):
            return [self.label] if now != self.old else []
        same = len(now) == len(self.old) and all(a is b for a, b in zip(now, self.old, strict=True))
        return [] if same else [self.label]

    def put(self) -> None:
        value, old = self.value, self.old
        if isinstance(value, Tensor):
            value.detach().view(-1).view(torch.uint8).copy_(torch.frombuffer(bytearray(old), dtype=torch.uint8))
        elif isinstance(value, np.ndarray):
            value[...] = np.frombuffer(old, value.dtype).reshape(value.shape)
        elif isinstance(value, dict):
            value.clear()
            value.update(zip(old[::2], old[1::2], strict=True))
        else:
            value.clear()
            value.update(old) if isinstance(value, set) else value.extend(old)

    def _look(self) -> Any:
        if isinstance(self.value, Tensor):
            return bits(self.value)
        if isinstance(self.value, np.ndarray):
            return self.value.tobytes()
        return [p for pair in self.value.items() for p in pair] if isinstance(self.value, dict) else list(self.value)


class Names:
    """The names in the __dict__ of an object, or in another dict of names, as they were."""

    def __init__(self, names: dict[str, Any], label: str) -> None:
        self.names, self.label, self.old = names, label, dict(names)

    def changes(self) -> list[str]:
        known = [*self.old, *(name for name in self.names if name not in self.old)]
        return [f"{self.label}.{n}" for n in known if self.names.get(n, ABSENT) is not self.old.get(n, ABSENT)]

    def put(self) -> None:
        self.names.clear()
        self.names.update(self.old)


class One:
    """One name, as it was; `get` says what it is, ABSENT if it is not there, and `put` makes it that again."""

    def __init__(self, get: Callable[[], Any], put: Callable[[Any], object], label: str) -> None:
        self.get, self.set, self.label, self.old = get, put, label, get()

    def changes(self) -> list[str]:
        return [self.label] if self.get() is not self.old else []

    def put(self) -> None:
        self.set(self.old)


def can_change(value: Any) -> bool:
    """Whether `Contents` can put it back."""
    if isinstance(value, np.ndarray):
        return value.flags.writeable
    return isinstance(value, dict | list | collections.deque | bytearray | set)


def content(function: types.FunctionType, number: int) -> Any:
    """What a closure's variable stands for, or ABSENT."""
    try:
        return (function.__closure__ or ())[number].cell_contents
    except ValueError:
        return ABSENT


class Kept:
    """All that was reached and can change, each as it was when it was reached."""

    def __init__(self) -> None:
        self._all: dict[Any, Contents | Names | One] = {}

    def keep(self, value: Any, label: str) -> None:
        """Keep what a value holds: its entries, and the names of its attributes."""
        if can_change(value):
            self._all[id(value)] = Contents(value, label)
        if isinstance(value, type | types.ModuleType):
            return
        if has_names(value):
            self._all[id(value), ""] = Names(vars(value), label)
            for table in TABLES if isinstance(value, nn.Module) else ():
                self._all[id(value), table] = Names(vars(value).get(table, {}), label)
        for name in slots(value):
            self.keep_one(value, name, label)

    def keep_one(self, holder: Any, name: str, label: str) -> None:
        kind = type if isinstance(holder, type) else object

        def get() -> Any:
            return vars(holder).get(name, ABSENT) if has_names(holder) else slots(holder).get(name, ABSENT)

        def put(old: Any) -> None:
            kind.__delattr__(holder, name) if old is ABSENT else kind.__setattr__(holder, name, old)

        self._all.setdefault((id(holder), name), One(get, put, f"{label}.{name}"))

    def keep_global(self, names: dict[str, Any], name: str) -> None:
        def put(old: Any) -> None:
            names.pop(name, None) if old is ABSENT else names.__setitem__(name, old)

        one = One(lambda: names.get(name, ABSENT), put, f"the global {name}")
        self._all.setdefault((id(names), name), one)

    def keep_cell(self, function: types.FunctionType, number: int, name: str) -> None:
        cell = (function.__closure__ or ())[number]

        def put(old: Any) -> None:
            delattr(cell, "cell_contents") if old is ABSENT else setattr(cell, "cell_contents", old)

        one = One(lambda: content(function, number), put, f"the variable {name} around {function.__name__}")
        self._all.setdefault((id(cell), name), one)

    def keep_numbers(self, value: Tensor, label: str) -> None:
        self._all.setdefault(id(value), Contents(value, label))

    def put_back(self) -> Iterator[tuple[Any, list[str]]]:
        """Put back what was changed: under which key it was kept, and what people would call it."""
        for key, kept in self._all.items():
            changes = kept.changes()
            if changes:
                yield key, changes
        for kept in self._all.values():
            if kept.changes():
                kept.put()
