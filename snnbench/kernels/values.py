"""Kinds of Python values: which can be compared with what they were, which cannot, and how they are put back."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import functools
import operator
import re
import sysconfig
import types
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SMALL = 1024
"""So many numbers or entries are compared in each call; more are not."""
TABLES = ("_parameters", "_buffers", "_modules")
ABSENT: Any = type("Absent", (), {"__slots__": (), "__repr__": lambda self: "absent"})()
"""What a name stands for where there is none."""

_PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None), type(...), type(NotImplemented), range))
_PLAIN |= {decimal.Decimal, datetime.timedelta, re.Pattern}
_PLAIN |= {torch.dtype, torch.device, torch.layout, torch.memory_format}
_LISTS, _MAPS = (list, tuple, collections.deque), (dict, types.MappingProxyType)
CONTAINERS = (*_LISTS, *_MAPS, set, frozenset, bytearray)
BARE = {*CONTAINERS, collections.OrderedDict, collections.defaultdict, np.ndarray}
"""Classes whose objects hold entries and nothing else."""
_BUILTIN = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType)
_WRAPPERS: tuple[type, ...] = (
    functools.partial,
    types.MethodType,
    weakref.ReferenceType,
    property,
    staticmethod,
    classmethod,
)
_WRAPPERS += (types.MemberDescriptorType, types.GetSetDescriptorType, types.ClassMethodDescriptorType)
_WRAPPERS += (type(vars(collections.namedtuple("_Named", "field"))["field"]),)

_LIBRARIES = {"torch", "numpy", "math", "cmath", "operator", "_operator", "builtins", "functools", "_functools"}
_LIBRARIES |= {"itertools", "typing", "types", "collections", "_collections", "_abc", "abc", "enum", "dataclasses"}
_LIBRARIES |= {"numbers", "copy", "bisect", "_bisect", "re", "decimal", "fractions", "__future__"}
_IMPURE = {"print", "input", "open", "exec", "eval", "compile", "globals", "locals", "vars", "id", "hash", "breakpoint"}
_IMPURE |= {"__import__", "getattr", "hasattr", "setattr", "delattr", "memoryview"}
_ASKS = re.compile("_?(is|get|set|are|current|in|use)_|.*(seed|rng|memory|synchronize)|fork|save$|load$|compile$")
_HARMLESS = {"is_tensor", "is_floating_point", "is_complex", "is_nonzero", "is_same_size"}
_STATEFUL = {"random", "_random", "threading", "_thread", "queue", "io", "_io", "contextvars", "_contextvars", "time"}
_STDLIB, _TORCH, _NUMPY = sysconfig.get_path("stdlib"), *(str(Path(str(m.__file__)).parent) for m in (torch, np))
INSTALLED, LAYERS = (_STDLIB, sysconfig.get_path("purelib")), f"{_TORCH}/nn/"
"""Where libraries lie, and the code of torch's layers."""
_SIMPLE = (
    *("enum", "typing", "abc", "functools", "dataclasses", "collections", "_collections_abc", "numbers", "types"),
    *("inspect", "warnings", "contextlib", "linecache", "importlib", "tokenize", "textwrap", "dis", "ast"),
)
_LIBRARY_CODE = (_TORCH, _NUMPY, "<frozen", *(f"{_STDLIB}/{name}" for name in _SIMPLE))
_ACCESS = {getattr(nn.Module, name).__code__ for name in ("__getattr__", "__setattr__", "__delattr__")}


def is_plain(value: Any) -> bool:
    """Whether it never changes, and its type and text say all of it."""
    return type(value) in _PLAIN or isinstance(value, np.generic | np.dtype | torch.Size)


def equal(a: Any, b: Any) -> bool:
    """Whether two plain values are the same, bit for bit: 1 is not True, 0.0 not -0.0; nan is nan."""
    return a is b or (type(a) is type(b) and repr(a) == repr(b))


def is_library(name: str | None) -> bool:
    """Whether the functions, classes and modules of this module are taken to stay what they are."""
    return (name or "").partition(".")[0] in _LIBRARIES


def is_library_code(code: types.CodeType) -> bool:
    """Code of torch, numpy, and of what makes enums, dataclasses and the like; it may read the user's objects."""
    return code.co_filename.startswith(_LIBRARY_CODE)


def is_closed_code(code: types.CodeType) -> bool:
    """Library code that reads nothing of the user's objects; but a layer of torch.nn reads itself."""
    name = code.co_filename
    return code in _ACCESS if name.startswith(LAYERS) else name.startswith((_TORCH, _NUMPY, "<frozen importlib"))


def is_python_class(kind: type) -> bool:
    """Whether it was made by a class statement: its attributes can change."""
    return bool(kind.__flags__ & 1 << 9) and not kind.__flags__ & 1 << 8


def obstacle(value: Any) -> str:
    """What makes a value impossible to watch, as the end of "self.x is ..."; "" where it can be watched."""
    if isinstance(value, np.ndarray) and (value.size > SMALL or value.dtype.hasobject):
        return f"an array {list(value.shape)} of {value.dtype}, too much to compare in every call"
    if isinstance(value, CONTAINERS) and len(value) > SMALL:
        return f"a {type(value).__name__} of {len(value)} entries, too much to compare in every call"
    if isinstance(value, _MAPS) and not all(_is_key(key) for key in value):
        return f"a {type(value).__name__} whose keys are not all plain values"
    if isinstance(value, set | frozenset) and not all(_is_key(key) for key in value):
        return f"a {type(value).__name__} of more than plain values"
    if isinstance(value, _BUILTIN):
        return _impure(value)
    if isinstance(value, type):
        if value in (operator.attrgetter, operator.methodcaller):
            return "which reads attributes unseen"
        python = is_python_class(value) and value.__module__ not in _STATEFUL
        return "" if python or is_library(value.__module__) else f"the class {value.__qualname__}"
    if "_torchdynamo_orig_callable" in names_of(value):
        return "compiled by torch.compile"
    known = (types.FunctionType, types.ModuleType, types.SimpleNamespace, Tensor, np.ndarray, enum.Enum, *_WRAPPERS)
    if is_plain(value) or type(value) is object or isinstance(value, known) or _visible(type(value)):
        return ""
    if callable(value) and type(value).__module__.startswith("numpy"):
        return ""
    return f"a {type(value).__module__}.{type(value).__qualname__}, which may change unseen"


def _is_key(key: Any) -> bool:
    return is_plain(key) or isinstance(key, enum.Enum | type) or (type(key) is tuple and all(map(_is_key, key)))


def _visible(kind: type) -> bool:
    """Whether its objects hold nothing but attributes, and entries where they are containers."""
    if any(base.__module__ in _STATEFUL for base in kind.__mro__) or kind.__module__.startswith("torch.jit"):
        return False
    builtin = next(base for base in kind.__mro__ if not is_python_class(base))
    library = kind.__module__.startswith("typing") or kind in (collections.OrderedDict, collections.defaultdict)
    return library or kind in CONTAINERS or (is_python_class(kind) and builtin in (object, type, *CONTAINERS, *_PLAIN))


def _impure(function: Any) -> str:
    """Why the answer of a function that is not written in Python may be another in the next call."""
    owner, name = getattr(function, "__self__", None), function.__name__
    if isinstance(owner, types.ModuleType):
        wrong = name in _IMPURE if owner.__name__ == "builtins" else not is_library(owner.__name__)
        return f"{owner.__name__}.{name}, whose answers may change" if wrong else ""
    return obstacle(owner) if owner is not None and not isinstance(owner, type) else ""


def asks_torch(module: str, name: str, value: Any) -> bool:
    """Whether a name of torch's stands for a setting or a generator of the process, not for an operation."""
    return module.partition(".")[0] == "torch" and callable(value) and name not in _HARMLESS and bool(_ASKS.match(name))


def entries(value: Any) -> Iterator[tuple[str, Any]]:
    """What a container holds, each with what is written behind the container's name to get it."""
    if isinstance(value, _MAPS):
        yield from ((f"[{key!r}]", entry) for key, entry in value.items())
    elif isinstance(value, _LISTS):
        yield from ((f"[{number}]", entry) for number, entry in enumerate(value))


def parts_of(value: Any) -> list[tuple[str, Any]]:
    """What can be got at through `value` without an attribute of its own: entries, the arguments of a partial, ..."""
    if isinstance(value, types.BuiltinFunctionType) and not isinstance(value.__self__, CONTAINERS):
        return []
    if isinstance(value, functools.partial):
        return [(".func", value.func), (".args", value.args), (".keywords", value.keywords)]
    if isinstance(value, weakref.ReferenceType):
        return [("()", value())]
    if isinstance(value, types.MethodType | types.BuiltinFunctionType) and not isinstance(
        value.__self__, types.ModuleType | type
    ):
        return [
            (".__self__", value.__self__),
            *([(".__func__", value.__func__)] if isinstance(value, types.MethodType) else []),
        ]
    if isinstance(value, staticmethod | classmethod):
        return [("", value.__func__)]
    if isinstance(value, property):
        return [("", part) for part in (value.fget, value.fset, value.fdel) if part is not None]
    return list(entries(value))


def frozen(value: Any) -> bool:
    """Whether it is a tuple of what never changes."""
    return is_plain(value) or (type(value) is tuple and all(map(frozen, value)))


def is_weak(value: Any) -> bool:
    """Whether it can be referred to weakly."""
    try:
        weakref.ref(value)
    except TypeError:
        return False
    return True


def names_of(value: Any) -> dict[str, Any]:
    """The __dict__ of an object, without asking its class's __getattr__; empty where it has none."""
    try:
        names: dict[str, Any] = object.__getattribute__(value, "__dict__")
    except (AttributeError, TypeError):
        return {}
    return names


def has_names(value: Any) -> bool:
    """Whether an object has a __dict__."""
    return any("__dict__" in vars(base) and base is not type for base in type(value).__mro__) or isinstance(value, type)


def slots(value: Any) -> dict[str, Any]:
    """The members of a class with __slots__ that have a value."""
    members = [
        m for base in type(value).__mro__ for m in vars(base).values() if isinstance(m, types.MemberDescriptorType)
    ]
    return {
        m.__name__: m.__get__(value) for m in members if is_python_class(m.__objclass__) and hasattr(value, m.__name__)
    }


def bits(value: Tensor) -> bytes:
    """The memory of a small tensor."""
    return value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b""
