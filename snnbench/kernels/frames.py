"""One call of a function, followed instruction by instruction: what each is about to read."""

from __future__ import annotations

import importlib.util
import inspect
import platform
import re
import sys
import types
from collections.abc import Callable
from typing import Any

from snnbench.kernels import values
from snnbench.kernels.instructions import NAMING, instructions
from snnbench.kernels.reads import REMEDY, UNKNOWN, Missed, Reads, Stop
from snnbench.kernels.undo import content
from snnbench.kernels.values import ABSENT

ASKING = (getattr, hasattr, setattr, delattr)
FORBIDDEN = {f"__{name}__" for name in ("dict", "globals", "closure", "code", "defaults", "kwdefaults", "builtins")}
FORBIDDEN |= {f"__{name}__" for name in ("subclasses", "getattribute", "getattr", "setattr", "delattr", "reduce")}
FORBIDDEN |= {f"__{name}__" for name in ("reduce_ex", "getstate", "mro", "bases", "annotations", "dir")}
FORBIDDEN |= {"f_back", "f_globals", "f_locals", "mro"}


class Frame:
    """One call of a function: notes what each instruction is about to read. `top` is what the last one has loaded.

    Each instruction must be one that may come after the one before (`expected`; None after an error). So whatever keeps
    the interpreter from reporting one, another thread that runs the same code, say, hides no read.
    """

    def __init__(self, reads: Reads, code: types.CodeType, own: bool) -> None:
        self.reads, self.code, self.top = reads, code, UNKNOWN
        self.library = values.is_library_code(code)
        self.own = own
        self.instructions, starts = instructions(code)
        self.expected: frozenset[int] | None = starts
        self.done: int | None = None
        self.ends = False
        self.plain = bool(code.co_flags & inspect.CO_OPTIMIZED)
        self.twice = {*code.co_freevars} & {*code.co_varnames, *code.co_cellvars}

    def __call__(self, frame: types.FrameType, event: str, arg: Any) -> Any:
        self.reads.look(self._event, frame, event, arg)
        return self

    def _event(self, frame: types.FrameType, event: str, arg: Any) -> None:
        if event == "opcode":
            self._instruction(frame)
        elif event == "exception":
            self.expected = None
            if isinstance(arg[1], AttributeError) and arg[1].name is not None:
                self.reads.read(arg[1].obj, arg[1].name)
        elif event == "return" and self.expected is not None and not self.ends:
            self._missed()

    def _instruction(self, frame: types.FrameType) -> None:
        at = frame.f_lasti
        one = self.instructions.get(at)
        if one is None or (self.expected is not None and at not in self.expected):
            return self._missed()
        self.expected, self.ends = one.then, one.ends
        done, self.done = self.done, one.offset if at != one.offset else None
        if one.offset == done:  # with its EXTENDED_ARG
            return None
        if one.name in _HANDLERS:
            self.top = _HANDLERS[one.name](self, frame, one.argument, one.constants)
        elif one.name in _UNKNOWN_NAMES:
            raise Stop(f"runs {one.name}, an instruction of Python {platform.python_version()} that is not known")
        elif one.name not in _TRANSPARENT and (one.name, one.argument) != ("COPY", 1):
            self.top = UNKNOWN
        return None

    def _missed(self) -> None:
        what = f"Python {platform.python_version()} did not report all that {self.code.co_qualname} does"
        raise Missed(f"was not followed: {what}, which another thread may have run, too")

    def load(self, frame: types.FrameType, name: Any, before: Any) -> Any:
        """Variables, of which the last one is what is loaded."""
        for one in name if isinstance(name, tuple) else (name,):
            found = self.variable(frame, one)
        return found

    def store_and_load(self, frame: types.FrameType, names: tuple[str, str], before: Any) -> Any:
        return self.top if names[0] == names[1] else self.variable(frame, names[1])

    def variable(self, frame: types.FrameType, name: Any) -> Any:
        """What a variable stands for: one of the function, or one around it, which is read."""
        if name in self.code.co_freevars:
            number = self.code.co_freevars.index(name)
            for function in self.reads.functions.get(self.code, ()):
                value = content(function, number)
                self.reads.kept.keep_cell(function, number, name)
                if name == "__class__":
                    self.reads.reach(value, value.__name__, None)
                else:
                    self.reads.note(function, "cell", number, value, f"the variable {name} around {function.__name__}")
        known = self.plain and isinstance(name, str) and name not in self.twice
        return frame.f_locals.get(name, UNKNOWN) if known else UNKNOWN

    def const(self, frame: types.FrameType, value: Any, before: Any) -> Any:
        return value

    def super_attribute(self, frame: types.FrameType, name: str, before: Any) -> Any:
        """What super() finds is not what the object that was loaded last would."""
        self.top = UNKNOWN
        return self.attribute(frame, name, before)

    def attribute(self, frame: types.FrameType, name: str, before: Any) -> Any:
        if self.library and name.startswith("__"):
            return UNKNOWN
        if name == "__class__" and self.top is not UNKNOWN:
            return type(self.top)
        if name in FORBIDDEN:
            raise Stop(f"uses {name}, behind which all may change; {REMEDY}")
        if name in ("format", "format_map") and (self.top is UNKNOWN or re.search(r"{[^}]*[.[]", str(self.top))):
            raise Stop(f"uses str.{name}, which may read attributes unseen; write an f-string")
        if self.library and isinstance(self.top, types.ModuleType):
            return vars(self.top).get(name, UNKNOWN)
        if self.top is not UNKNOWN:
            return self.reads.read(self.top, name)
        for value, *_ in list(self.reads.reached.values()):
            if not self.library or not isinstance(value, types.ModuleType):
                self.reads.read(value, name, exact=False)
        return UNKNOWN

    def store(self, frame: types.FrameType, name: str, before: Any) -> Any:
        self.reads.storing(name)
        return UNKNOWN

    def load_name(self, frame: types.FrameType, name: str, before: Any) -> Any:
        """A name in the body of a class or a module: its own, or a global."""
        names = frame.f_locals
        return names[name] if name in names else self.load_global(frame, name, before)

    def load_global(self, frame: types.FrameType, name: str, before: Any) -> Any:
        value = frame.f_globals.get(name, ABSENT)
        if self.library:
            return frame.f_builtins.get(name, UNKNOWN) if value is ABSENT else value
        if value is ABSENT:
            value = frame.f_builtins.get(name, ABSENT)
            if getattr(value, "__wrapped__", None) not in ASKING:
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

    def from_class(self, frame: types.FrameType, name: str, before: Any) -> Any:
        """A name of a class in the making, or where it has none, one around it or a global."""
        if name in self.code.co_freevars:
            self.variable(frame, name)
        else:
            self.load_global(frame, name, before)
        return UNKNOWN

    def store_deref(self, frame: types.FrameType, name: str, before: Any) -> Any:
        if name in self.code.co_freevars:
            for function in self.reads.functions.get(self.code, ()):
                self.reads.kept.keep_cell(function, self.code.co_freevars.index(name), name)
        return UNKNOWN

    def store_global(self, frame: types.FrameType, name: str, before: Any) -> Any:
        self.reads.kept.keep_global(frame.f_globals, name)
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


_TRANSPARENT = {"NOP", "PUSH_NULL"}
_HARMLESS = {"STORE_NAME", "DELETE_NAME", "MAKE_CELL"}
_VARIABLES = (
    *("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW", "LOAD_DEREF", "LOAD_CLOSURE"),
    *("LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW"),
)
_HANDLERS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(_VARIABLES, Frame.load),
    **dict.fromkeys(("LOAD_CONST", "LOAD_SMALL_INT"), Frame.const),
    **dict.fromkeys(("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"), Frame.attribute),
    **dict.fromkeys(("STORE_ATTR", "DELETE_ATTR"), Frame.store),
    **dict.fromkeys(("STORE_GLOBAL", "DELETE_GLOBAL"), Frame.store_global),
    **dict.fromkeys(("LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF", "LOAD_FROM_DICT_OR_GLOBALS"), Frame.from_class),
    **dict.fromkeys(("STORE_DEREF", "DELETE_DEREF"), Frame.store_deref),
    "STORE_FAST_LOAD_FAST": Frame.store_and_load,
    "LOAD_SUPER_ATTR": Frame.super_attribute,
    "LOAD_GLOBAL": Frame.load_global,
    "LOAD_NAME": Frame.load_name,
    "IMPORT_NAME": Frame.import_name,
    "MATCH_CLASS": Frame.match,
}
_UNKNOWN_NAMES = NAMING - {*_HANDLERS, *_HARMLESS}
