"""From what a step has read to a function that tells whether it would read the same again.

It is written and compiled for the step, as dataclasses writes an __init__: one look at each place, in the order of the
reads, and nothing else. It keeps nothing alive: objects, functions and classes are held weakly where no module holds
them anyway, tensors by what is asked of them. Objects must be the very same, and read the same; but the neuron itself,
its submodules and its surrogate are known by their class and their reads, so that layers of one kind share a program.
"""

from __future__ import annotations

import enum
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn

from snnbench.kernels import values
from snnbench.kernels.reads import REMEDY, Place, Reads
from snnbench.kernels.values import ABSENT

Check = Callable[[Any], bool]


class _Skip(Exception):
    """A value that is no part of the key."""


def check_of(reads: Reads) -> tuple[Check, str]:
    """The function that tells of a cell whether the step would read from it what was read here; and what it misses."""
    writer = _Writer(reads)
    return writer.function(), writer.blind


class _Writer:
    def __init__(self, reads: Reads) -> None:
        self.reads = reads
        self.constants: dict[str, Any] = {
            "equal": values.equal,
            "ABSENT": ABSENT,
            "slots": values.slots,
            "count": _count,
        }
        self.lines: list[str] = []
        self.names: dict[Any, str] = {}
        self.counted: set[type] = set()
        self.blind = ""

    def function(self) -> Check:
        self.names[id(self.reads.cell)] = "o"
        self._kind("o", self.reads.cell)
        for place in list(self.reads.places.values()):
            if place not in self.reads.unsteady:
                self._place(place)
        body = "\n".join(f"        {line}" for line in self.lines)
        text = f"def check(o):\n    try:\n{body}\n        return True\n    except Exception:\n        return False\n"
        made: dict[str, Any] = {}
        # the constants as defaults of arguments are found faster than as globals
        arguments = ", ".join(f"{name}={name}" for name in self.constants)
        exec(text.replace("check(o)", f"check(o, {arguments})"), self.constants, made)
        check: Check = made["check"]
        return check

    def _require(self, condition: str) -> None:
        self.lines.append(f"if not ({condition}): return False")

    def _constant(self, value: Any) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = value
        return name

    def _local(self, key: Any, text: str) -> str:
        """The name of a value that is looked up once in a check."""
        if key not in self.names:
            self.names[key] = f"n{len(self.names)}"
            self.lines.append(f"{self.names[key]} = {text}")
        return self.names[key]

    def _object(self, holder: Any) -> str:
        """The name of an object in the check."""
        if id(holder) in self.names:
            return self.names[id(holder)]
        if not _lasting(holder) and not values.is_weak(holder):
            raise _Skip
        return self._local(id(holder), self._reference(holder))

    def _reference(self, value: Any) -> str:
        """The text for an object, held weakly unless its module holds it anyway."""
        return self._constant(value) if _lasting(value) else f"{self._constant(weakref.ref(value))}()"

    def _place(self, place: Place) -> None:
        try:
            found = self._lookup(place)
        except _Skip:
            self.blind = f"reads {place.label} of an object that cannot be watched; {REMEDY}"
            return
        direct = place.kind in ("slot", "cell", "__defaults__", "__kwdefaults__")
        if place.value is ABSENT:
            self._require(f"{found} is ABSENT" if direct else f"{place.name!r} not in {found}")
            return
        text = found if direct else f"{found}[{place.name!r}]"
        mark = len(self.lines)
        try:
            if self._by_kind(place):
                self.lines.append(f"{self._named(place.value)} = {text}")
                self._kind(self.names[id(place.value)], place.value)
            else:
                self._require(self._same(text, place.value))
        except _Skip:
            del self.lines[mark:]

    def _named(self, value: Any) -> str:
        return self.names.setdefault(id(value), f"n{len(self.names)}")

    def _lookup(self, place: Place) -> str:
        """The dict in which a place is a name, or what stands there."""
        holder = self._object(place.holder)
        key = id(place.holder)
        if place.kind == "global":
            return self._local((id(place.holder.__globals__), "globals"), f"{holder}.__globals__")
        if place.kind == "cell":
            return f"{holder}.__closure__[{place.name}].cell_contents"
        if place.kind.startswith("__"):
            return f"{holder}.{place.kind}"
        if place.kind == "slot":
            return f"slots({holder}).get({place.name.__name__!r}, ABSENT)"
        own = self._names_of(place.holder)
        return own if place.kind == "dict" else self._local((key, place.kind), f"{own}[{place.kind!r}]")

    def _names_of(self, holder: Any) -> str:
        """The name of an object's __dict__ in the check."""
        if _lasting(holder):
            return self.names.setdefault((id(holder), "dict"), self._constant(vars(holder)))
        return self._local((id(holder), "dict"), f"{self._object(holder)}.__dict__")

    def _by_kind(self, place: Place) -> bool:
        """Whether what stands there is known by its class and its reads, not as the very same object."""
        value = place.value
        if id(value) not in self.reads.reached or isinstance(value, type | types.ModuleType | enum.Enum):
            return False
        if self.reads.reached[id(value)][2] is not place:
            return False
        surrogate = place.holder is self.reads.cell and place.name == "spike"
        return surrogate or isinstance(value, nn.Module) or not values.is_weak(value)

    def _kind(self, name: str, value: Any) -> None:
        self._require(f"type({name}) is {self._reference(type(value))}")
        for base in type(value).__mro__:
            if values.is_python_class(base) and not values.is_library(base.__module__) and base not in self.counted:
                self.counted.add(base)
                own = self._names_of(base)
                self._require(f"len({own}) == {len(vars(base))} or count({own}) == {_count(vars(base))}")

    def _same(self, name: str, value: Any) -> str:
        """The condition that what `name` stands for is `value` still."""
        if id(value) in self.reads.unsteady:
            raise _Skip
        if values.is_plain(value):
            constant = self._constant(value)
            return f"{name} is {constant} or equal({name}, {constant})"
        if isinstance(value, Tensor):
            if id(value) not in self.reads.touched and id(value) not in self.reads.looked:
                return f"type({name}) is {self._constant(type(value))}"
            return f"{self._constant(self._matcher(value))}({name})"
        if type(value) in values.BARE:
            text = f"{self._constant(self._matcher(value))}({name})"
            return f"{name} is {self._constant(value)} or {text}" if values.frozen(value) else text
        if isinstance(value, enum.Enum) or not values.is_weak(value):
            parts = values.parts_of(value)
            if parts and not all(_lasting(part) for _, part in parts):
                return f"{self._constant(self._matcher(value))}({name})"
            return f"{name} is {self._constant(value)}"
        if id(value) in self.names:
            return f"{name} is {self.names[id(value)]}"
        text = f"{name} is {self._reference(value)}"
        if isinstance(value, values.CONTAINERS) or values.parts_of(value):
            text += f" and {self._constant(self._matcher(value))}({name})"
        return text

    def _matcher(self, value: Any) -> Callable[[Any], bool]:
        """Whether another container holds the same: entry by entry, in order."""
        if id(value) in self.reads.unsteady:
            raise _Skip
        if values.is_plain(value):
            return lambda other: values.equal(other, value)
        if isinstance(value, Tensor):
            return _tensor(value, id(value) in self.reads.looked)
        if isinstance(value, np.ndarray):
            known = _array(value)
            return lambda other: type(other) is np.ndarray and _array(other) == known
        kind = weakref.ref(type(value))
        if isinstance(value, set | frozenset | bytearray):
            texts = sorted(map(repr, value))
            return lambda other: type(other) is kind() and sorted(map(repr, other)) == texts
        if values.parts_of(value) or isinstance(value, values.CONTAINERS):
            parts = [(name, self._matcher(part)) for name, part in values.parts_of(value)]
            itself = None if type(value) in values.BARE or not values.is_weak(value) else weakref.ref(value)

            def holds(other: Any) -> bool:
                found = values.parts_of(other) if type(other) is kind() else None
                return (
                    found is not None
                    and (itself is None or other is itself())
                    and len(found) == len(parts)
                    and all(name == now and same(part) for (name, same), (now, part) in zip(parts, found, strict=True))
                )

            return holds
        if isinstance(value, enum.Enum) or not values.is_weak(value):
            return lambda other: other is value
        reference = weakref.ref(value)
        return lambda other: other is reference()


def _lasting(value: Any) -> bool:
    """Whether a module holds it under its name: a class, a function or a module that is not made on the way."""
    if isinstance(value, types.ModuleType):
        return sys.modules.get(value.__name__) is value
    if not isinstance(value, type | types.FunctionType):
        return False
    found: Any = sys.modules.get(value.__module__)
    for name in value.__qualname__.split("."):
        found = vars(found).get(name) if hasattr(found, "__dict__") else None
    return found is value or any(value is part for _, part in values.parts_of(found))


def _count(names: Any) -> int:
    """Of a class's names, how many are not put there by Python itself, when an object is copied, say."""
    return len(names) - sum(name in names for name in ("__slotnames__", "__annotations_cache__", "__annotate_func__"))


def _array(value: np.ndarray) -> tuple[Any, ...]:
    return value.dtype.str, value.shape, value.tobytes()


def _tensor(value: Tensor, with_numbers: bool) -> Callable[[Any], bool]:
    """Whether another tensor is of the same kind, and holds the same bits if those count."""

    def face(tensor: Tensor) -> tuple[Any, ...]:
        return type(tensor), tensor.shape, tensor.dtype, tensor.device, tensor.requires_grad

    known, text = face(value), values.bits(value) if with_numbers else b""
    return lambda other: (
        isinstance(other, Tensor) and face(other) == known and (not with_numbers or values.bits(other) == text)
    )
