"""A run of a step, followed instruction by instruction.

The interpreter reports each instruction of the step, and of all Python that it calls, before it is executed
(`sys.settrace`). A name that is loaded from a known object is a read of that object; from one that is not known, say the
result of a call, it is taken for a read of every object reached so far that has the name. So no read is missed.
"""

from __future__ import annotations

import builtins
import dis
import functools
import importlib.util
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from snnbench.kernels import values
from snnbench.kernels.reads import REMEDY, UNKNOWN, Reads, Stop, content, functions_of
from snnbench.kernels.values import ABSENT

_ASKING = (getattr, hasattr, setattr, delattr)
_OWN = str(Path(__file__).parent)
_PROJECT = Path(__file__).parents[1].name

_FORBIDDEN = {f"__{name}__" for name in ("dict", "globals", "closure", "code", "defaults", "kwdefaults", "builtins")}
_FORBIDDEN |= {f"__{name}__" for name in ("subclasses", "getattribute", "getattr", "setattr", "delattr", "reduce")}
_FORBIDDEN |= {f"__{name}__" for name in ("reduce_ex", "getstate", "mro", "bases", "annotations", "dir")}
_FORBIDDEN |= {"f_back", "f_globals", "f_locals", "mro"}


@contextmanager
def followed(reads: Reads) -> Iterator[None]:
    """What this thread runs inside is noted in `reads`. Raises Stop, from within, before what cannot be watched."""
    thread, before = threading.get_ident(), sys.gettrace()
    asking = {function.__name__: _asking(reads, thread, function) for function in _ASKING}
    names = vars(builtins)
    try:
        names.update(asking)
        sys.settrace(lambda frame, event, arg: None if reads.looking else _look(reads, _entered, reads, frame))
        yield
    finally:
        sys.settrace(before)
        names.update({function.__name__: function for function in _ASKING})


def _asking(reads: Reads, thread: int, original: Any) -> Any:
    """getattr or one of its kin, noting what it is asked by the followed code of this thread."""

    def ask(*args: Any) -> Any:
        code = sys._getframe(1).f_code
        ours = threading.get_ident() == thread and not reads.looking
        if ours and len(args) > 1 and type(args[1]) is str and not (_is_hidden(code) or code in reads.errands):
            name = args[1]
            if name.startswith("__") and values.is_library_code(code):
                return original(*args)
            if name in _FORBIDDEN:
                raise Stop(f"uses {name}, behind which all may change; {REMEDY}")
            _look(reads, reads.storing, name) if original in _ASKING[2:] else _look(reads, reads.read, args[0], name)
        return original(*args)

    ask.__wrapped__ = original  # type: ignore[attr-defined]
    return ask


def _is_hidden(code: types.CodeType) -> bool:
    return values.is_closed_code(code) or code.co_filename.startswith(_OWN)


def _look(reads: Reads, function: Any, *args: Any) -> Any:
    """What a function gives whose own reads are not the step's."""
    reads.looking = True
    try:
        return function(*args)
    finally:
        reads.looking = False


def _entered(reads: Reads, frame: types.FrameType) -> Any:
    """Of a call, what follows it; None for code that reads nothing of the user's."""
    code = frame.f_code
    if _is_hidden(code):
        return None
    if _is_errand(reads, frame):
        reads.errands.add(code)
        return None
    frame.f_trace_lines, frame.f_trace_opcodes = False, True
    if not values.is_library_code(code):
        for function in _functions(reads, frame):
            for kind in ("__defaults__", "__kwdefaults__"):
                if getattr(function, kind):
                    label = f"the defaults of {function.__name__}"
                    reads.note(function, kind, None, getattr(function, kind), label)
        if code.co_name == "__getattr__" and code.co_argcount == 2:
            holder, name = (frame.f_locals[key] for key in code.co_varnames[:2])
            reads.read(holder, name)
    return _Frame(reads, code, str(frame.f_globals.get("__name__")).startswith(f"{_PROJECT}."))


def _is_errand(reads: Reads, frame: types.FrameType) -> bool:
    """Whether it is a library's function that PyTorch has called for itself."""
    back, code = frame.f_back, frame.f_code
    if back is None or not (_is_hidden(back.f_code) or back.f_code in reads.errands) or code in reads.functions:
        return False
    return code.co_filename.startswith(values.INSTALLED) and not code.co_filename.startswith(values.LAYERS)


def _functions(reads: Reads, frame: types.FrameType) -> list[types.FunctionType]:
    """The functions that may have this frame's code; none if the step itself made it.

    Raises:
        Stop: it was called by no way that is seen.
    """
    code = frame.f_code
    if code in reads.functions:
        return reads.functions[code]
    for kind in [value for value, *_ in reads.reached.values() if isinstance(value, type)]:
        for base in kind.__mro__:
            for name, value in list(vars(base).items()):
                if any(function.__code__ is code for function in functions_of(value)):
                    reads.note(base, "dict", name, value, f"{base.__name__}.{name}")
                    return reads.functions.get(code, [])
    outer = [c for known in [*reads.functions, *_made(frame)] for c in _nested(known)]
    if code in outer or values.is_library_code(code):
        return []
    raise Stop(f"runs {code.co_qualname}, which it reaches by a way that is not seen")


def _made(frame: types.FrameType) -> Iterator[types.CodeType]:
    back = frame.f_back
    while back is not None:
        yield back.f_code
        back = back.f_back


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _nested(constant)


@functools.lru_cache(maxsize=1024)
def _instructions(code: types.CodeType) -> dict[int, tuple[str, Any, tuple[Any, ...]]]:
    """By offset: the name of an instruction, its argument, and the two constants before it, where there are such."""
    found, constants = {}, ()
    for one in dis.get_instructions(code):
        found[one.offset] = (one.opname, one.argval, constants)
        constants = (*constants[-1:], one.argval) if one.opname == "LOAD_CONST" else ()
    return found


class _Frame:
    """One call of a function: notes what each instruction is about to read. `top` is what the last one has loaded."""

    def __init__(self, reads: Reads, code: types.CodeType, own: bool) -> None:
        self.reads, self.code, self.top = reads, code, UNKNOWN
        self.library = values.is_library_code(code)
        self.own = own

    def __call__(self, frame: types.FrameType, event: str, arg: Any) -> Any:
        _look(self.reads, self._event, frame, event, arg)
        return self

    def _event(self, frame: types.FrameType, event: str, arg: Any) -> None:
        if event == "opcode":
            name, argument, before = _instructions(self.code)[frame.f_lasti]
            if name in _HANDLERS:
                self.top = _HANDLERS[name](self, frame, argument, before)
            elif name not in _TRANSPARENT:
                self.top = UNKNOWN
        elif event == "exception" and isinstance(arg[1], AttributeError) and arg[1].name is not None:
            self.reads.read(arg[1].obj, arg[1].name)

    def fast(self, frame: types.FrameType, name: Any, before: Any) -> Any:
        return frame.f_locals.get(name, UNKNOWN) if isinstance(name, str) else UNKNOWN

    def const(self, frame: types.FrameType, value: Any, before: Any) -> Any:
        return value

    def attribute(self, frame: types.FrameType, name: str, before: Any) -> Any:
        if self.library and name.startswith("__"):
            return UNKNOWN
        if name == "__class__" and self.top is not UNKNOWN:
            return type(self.top)
        if name in _FORBIDDEN:
            raise Stop(f"uses {name}, behind which all may change; {REMEDY}")
        if self.top is not UNKNOWN:
            return self.reads.read(self.top, name)
        for value, *_ in list(self.reads.reached.values()):
            self.reads.read(value, name, exact=False)
        return UNKNOWN

    def store(self, frame: types.FrameType, name: str, before: Any) -> Any:
        self.reads.storing(name)
        return UNKNOWN

    def load_global(self, frame: types.FrameType, name: str, before: Any) -> Any:
        if name in frame.f_locals and self.code.co_name == "<module>":
            return UNKNOWN
        value = frame.f_globals.get(name, ABSENT)
        if self.library:
            return frame.f_builtins.get(name, UNKNOWN) if value is ABSENT else value
        if value is ABSENT:
            value = frame.f_builtins.get(name, ABSENT)
            if getattr(value, "__wrapped__", None) not in _ASKING:
                self.reads.reach(value, f"{name}()", None)
        elif self.own and isinstance(value, types.FunctionType | type | types.ModuleType):
            self.reads.reach(value, name, None)
            return value
        holder = self._holder(frame)
        if not self.own:
            self.reads.note(holder, "global", name, frame.f_globals.get(name, ABSENT), f"the global {name}")
        return value

    def _holder(self, frame: types.FrameType) -> Any:
        """A function whose globals are the frame's."""
        for functions in self.reads.functions.values():
            for function in functions:
                if function.__globals__ is frame.f_globals:
                    return function
        raise Stop(f"runs {self.code.co_qualname}, whose globals cannot be watched")

    def deref(self, frame: types.FrameType, name: str, before: Any) -> Any:
        found = UNKNOWN
        if name in self.code.co_freevars:
            number = self.code.co_freevars.index(name)
            for function in self.reads.functions.get(self.code, ()):
                value = content(function, number)
                label = f"the variable {name} around {function.__name__}"
                if name == "__class__":
                    self.reads.reach(value, value.__name__, None)
                else:
                    self.reads.note(function, "cell", number, value, label)
                found = value if found is UNKNOWN else UNKNOWN
            return found
        return UNKNOWN

    def store_deref(self, frame: types.FrameType, name: str, before: Any) -> Any:
        if name in self.code.co_freevars:
            for function in self.reads.functions.get(self.code, ()):
                self.reads.storing_cell(function, self.code.co_freevars.index(name), name)
        return UNKNOWN

    def store_global(self, frame: types.FrameType, name: str, before: Any) -> Any:
        self.reads.storing_global(frame.f_globals, name)
        return UNKNOWN

    def import_name(self, frame: types.FrameType, name: str, before: Any) -> Any:
        level = before[-2] if len(before) > 1 and isinstance(before[-2], int) else 0
        full = importlib.util.resolve_name("." * level + name, frame.f_globals.get("__package__")) if level else name
        module = sys.modules.get(full)
        if module is None:
            raise Stop(f"imports {full}; import it at the top of the file")
        top = sys.modules[full.partition(".")[0]]
        for value in (top, module):
            self.reads.reach(value, value.__name__, None)
        return module if before and before[-1] is not None else top

    def match(self, frame: types.FrameType, name: Any, before: Any) -> Any:
        raise Stop(f"matches a class, by attributes that are not seen; {REMEDY}")


_TRANSPARENT = {"EXTENDED_ARG", "CACHE", "NOP", "COPY", "PUSH_NULL"}
_HANDLERS = {
    **dict.fromkeys(("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW"), _Frame.fast),
    **dict.fromkeys(("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "IMPORT_FROM"), _Frame.attribute),
    **dict.fromkeys(("STORE_ATTR", "DELETE_ATTR"), _Frame.store),
    **dict.fromkeys(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"), _Frame.load_global),
    **dict.fromkeys(("STORE_GLOBAL", "DELETE_GLOBAL"), _Frame.store_global),
    **dict.fromkeys(("LOAD_DEREF", "LOAD_CLOSURE", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"), _Frame.deref),
    **dict.fromkeys(("STORE_DEREF", "DELETE_DEREF"), _Frame.store_deref),
    "LOAD_CONST": _Frame.const,
    "IMPORT_NAME": _Frame.import_name,
    "MATCH_CLASS": _Frame.match,
}
