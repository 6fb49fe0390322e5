"""What a step reads: attributes, globals, closures, defaults, tensors; and what it writes, to be undone.

`follow.py` tells what the step is about to do. A value is looked at when it is reached, before the step can change it,
and what cannot be watched stops the run there.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from typing import Any

from torch import Tensor, nn

from snnbench.kernels import values
from snnbench.kernels.undo import Kept, content
from snnbench.kernels.values import ABSENT, TABLES

UNKNOWN: Any = object()
_ASKING = (getattr, hasattr, setattr, delattr)


class Stop(BaseException):
    """The step is about to do what cannot be watched or undone; the text ends "<neuron>.step ..."."""


class Missed(Stop):
    """The interpreter did not report all that the step did; it may the next time."""


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
    """Where a value was found, and how that is called.

    `kind` is "dict" (the holder's __dict__), one of nn.Module's tables, "slot" (`name` is its descriptor); or the
    holder is a function, and it is "global", "cell" (`name` is its number), "__defaults__" or "__kwdefaults__".
    """

    holder: Any
    kind: str
    name: Any
    value: Any
    label: str

    def now(self) -> Any:
        """What is there now."""
        if self.kind == "slot":
            return values.slots(self.holder).get(self.name.__name__, ABSENT)
        if self.kind == "cell":
            return content(self.holder, self.name)
        if self.kind.startswith("__"):
            return getattr(self.holder, self.kind)
        names = self.holder.__globals__ if self.kind == "global" else vars(self.holder)
        return (names if self.kind in ("global", "dict") else names[self.kind]).get(self.name, ABSENT)


class Reads:
    """What one run of a step has read and written so far.

    Attributes:
        places: where it read, in order.
        reached: objects with attributes, by id: what they are called, and where they were found, if not in a container.
        functions: of the code that may run, which functions have it.
        touched, looked: ids of the tensors that operations took, and of those whose values count.
        written: what it wrote, as people would call it.
        unsteady: ids of containers, and places, that are no part of the key: they were written, or cannot be compared.
    """

    def __init__(self, cell: Any) -> None:
        self.cell = cell
        self.places: dict[Any, Place] = {}
        self.reached: dict[int, tuple[Any, str, Place | None]] = {}
        self.functions: dict[types.CodeType, list[types.FunctionType]] = {}
        self.tensors: dict[int, tuple[Tensor, str]] = {}
        self.touched: set[int] = set()
        self.looked: set[int] = set()
        self.written: list[str] = []
        self.unsteady: set[Any] = set()
        self.errands: set[types.CodeType] = set()
        self.looking = False  # whether who follows the step is at work, and not the step
        self._seen: dict[int, Any] = {}
        self.kept = Kept()
        self.reach(cell, "self", None)
        for name in ("states", "per_step", "spike", "step"):
            self.read(cell, name)

    def look(self, function: Any, *args: Any) -> Any:
        """What a function gives whose own reads are not the step's."""
        self.looking = True
        try:
            return function(*args)
        finally:
            self.looking = False

    def read(self, holder: Any, name: str, exact: bool = True) -> Any:
        """Note that a name is read from an object, which may not have it if not `exact`.

        Returns:
            What it stands for, or UNKNOWN where that takes more than a look.
        """
        if isinstance(holder, types.ModuleType):
            return self._of_module(holder, name, exact)
        if isinstance(holder, type):
            return self._of_class(holder, name, exact)
        if id(holder) not in self.reached:
            self._of_new(holder, name)
            return UNKNOWN
        own, label = values.names_of(holder), f"{self.reached[id(holder)][1]}.{name}"
        base, found = in_class(type(holder), name)
        if isinstance(found, types.MemberDescriptorType):
            return self.note(holder, "slot", found, values.slots(holder).get(name, ABSENT), label)
        if base is not None and hasattr(type(found), "__set__"):
            self._of_class(type(holder), name, exact)
            return UNKNOWN
        if name in own:
            return self.note(holder, "dict", name, own[name], label)
        if base is not None:
            ours = values.is_python_class(base) and not values.is_library(base.__module__)
            if values.has_names(holder) and (exact or ours):
                self.note(holder, "dict", name, ABSENT, label)
            return self._of_class(type(holder), name, exact)
        for table in TABLES if isinstance(holder, nn.Module) else ():
            if name in own.get(table, ()):
                return self.note(holder, table, name, own[table][name], label)
        return self.note(holder, "dict", name, ABSENT, label) if exact and values.has_names(holder) else UNKNOWN

    def _of_new(self, holder: Any, name: str) -> None:
        """Note a name of an object that the step made: where its class has it, or that it has not."""
        for base in type(holder).__mro__:
            if values.is_python_class(base) and not values.is_library(base.__module__):
                self.note(base, "dict", name, vars(base).get(name, ABSENT), f"{base.__name__}.{name}")
            if name in vars(base):
                return

    def _of_class(self, kind: type, name: str, exact: bool) -> Any:
        if type(kind) is not type:
            self._of_class(type(kind), name, exact)
        found = [base for base in kind.__mro__ if name in vars(base)]
        for base in found[:1] if exact else found:  # super() may pass over the first ones
            if values.is_python_class(base) and not values.is_library(base.__module__):
                self.note(base, "dict", name, vars(base)[name], f"{base.__name__}.{name}")
        value = vars(found[0])[name] if found else None
        return value if found and exact and not hasattr(type(value), "__get__") else UNKNOWN

    def _of_module(self, module: types.ModuleType, name: str, exact: bool) -> Any:
        value, label = vars(module).get(name, ABSENT), f"{module.__name__}.{name}"
        if value is ABSENT and not exact:
            return UNKNOWN
        if values.asks_torch(module.__name__, name, value):
            raise Stop(f"calls {label}, whose answer may change; give the number to the neuron")
        if values.is_library(module.__name__) and isinstance(value, types.FunctionType | type | types.ModuleType):
            if not isinstance(value, types.FunctionType):
                self.reach(value, label, None)
            return value
        return self.note(module, "dict", name, value, label)

    def note(self, holder: Any, kind: str, name: Any, value: Any, label: str) -> Any:
        """Add a place, if it is new, and reach what is there."""
        key = (id(holder), kind, id(name) if kind == "slot" else name)
        if key not in self.places:
            place = self.places[key] = Place(holder, kind, name, value, label)
            try:
                self.reach(value, label, place)
            except Stop:
                self.unsteady.add(place)
                raise
        return value

    def reach(self, value: Any, label: str, place: Place | None) -> None:
        """See to it that reads of `value`, and of what it holds, are noted, and that it can be put back.

        Raises:
            Stop: it cannot be watched.
        """
        if values.is_plain(value) or value is ABSENT or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        why = "hidden behind another name" if any(value is one for one in _ASKING) else values.obstacle(value)
        if why:
            raise Stop(f"reads {label}, {why}; {REMEDY}")
        if isinstance(value, Tensor):
            self.tensors[id(value)] = value, label
            return
        for function in functions_of(value):
            self.functions.setdefault(function.__code__, []).append(function)
        wraps = isinstance(value, property | staticmethod | classmethod)
        if not wraps and (isinstance(value, type | types.ModuleType) or values.has_names(value) or values.slots(value)):
            self.reached[id(value)] = value, label, place
        self.kept.keep(value, label)
        if values.is_python_class(type(value)):
            self.reach(type(value), type(value).__name__, None)
        for name, part in values.parts_of(value):
            self.reach(part, label + name, None)

    def storing(self, name: str) -> None:
        """A name of some object is about to be set or deleted."""
        for value, label, _ in list(self.reached.values()):
            if isinstance(value, types.ModuleType) or (isinstance(value, type) and values.is_python_class(value)):
                self.kept.keep_one(value, name, label)

    def take(self, tensor: Tensor, on_host: bool) -> None:
        """An operation is about to take a tensor that is not the step's own."""
        known = id(tensor) in self.tensors
        if known:
            self.touched.add(id(tensor))
        folded = known and not tensor.dim() and not tensor.requires_grad and tensor.device.type == "cpu"
        if not on_host and not folded:
            return
        for key in [id(tensor)] if known else list(self.touched):
            value, label = self.tensors[key]
            if value.device.type != "cpu" or value.numel() > values.SMALL or type(value) not in (Tensor, nn.Parameter):
                self.unsteady.add(key)
                raise Stop(f"reads numbers from {label} on the host, which would wait for it in every call; {REMEDY}")
            self.looked.add(key)
            self.kept.keep_numbers(value, label)

    def plain(self) -> list[Place]:
        """The places of plain values."""
        return [place for place in self.places.values() if values.is_plain(place.value)]

    def undo(self) -> None:
        """Put back all that was changed."""
        self.unsteady |= {place for place in self.places.values() if place.now() is not place.value}
        for key, changes in self.kept.put_back():
            self.written += changes
            self.unsteady.add(key)


REMEDY = "return it from coefficients(), or keep it as a plain number"


def in_class(kind: type, name: str) -> tuple[type | None, Any]:
    """The class of the MRO that has a name, and what it stands for there."""
    for base in kind.__mro__:
        if name in vars(base):
            return base, vars(base)[name]
    return None, None


def functions_of(value: Any) -> list[types.FunctionType]:
    """The Python function that `value` is, or those that a method, a property or the like stands for."""
    names = ("fget", "fset", "fdel") if isinstance(value, property) else ("__func__", "func")
    wraps = isinstance(value, property | staticmethod | classmethod | types.MethodType | functools.cached_property)
    parts = [getattr(value, name, None) for name in names] if wraps else [value]
    return [part for part in parts if isinstance(part, types.FunctionType)]
