"""One call of a function, followed instruction by instruction: what each is about to read."""

from __future__ import annotations

import dis
import functools
import importlib.util
import re
import sys
import types
from typing import Any

from snnbench.kernels import values
from snnbench.kernels.reads import REMEDY, UNKNOWN, Reads, Stop
from snnbench.kernels.undo import content
from snnbench.kernels.values import ABSENT

ASKING = (getattr, hasattr, setattr, delattr)
FORBIDDEN = {f"__{name}__" for name in ("dict", "globals", "closure", "code", "defaults", "kwdefaults", "builtins")}
FORBIDDEN |= {f"__{name}__" for name in ("subclasses", "getattribute", "getattr", "setattr", "delattr", "reduce")}
FORBIDDEN |= {f"__{name}__" for name in ("reduce_ex", "getstate", "mro", "bases", "annotations", "dir")}
FORBIDDEN |= {"f_back", "f_globals", "f_locals", "mro"}


@functools.lru_cache(maxsize=1024)
def _instructions(code: types.CodeType) -> dict[int, tuple[str, Any, tuple[Any, ...]]]:
    """By offset: the name of an instruction, its argument, and the two constants before it, where there are such."""
    constants: tuple[Any, ...] = ()
    found = {}
    for one in dis.get_instructions(code):
        found[one.offset] = (one.opname, one.argval, constants)
        constants = (*constants[-1:], one.argval) if one.opname == "LOAD_CONST" else ()
    return found


class Frame:
    """One call of a function: notes what each instruction is about to read. `top` is what the last one has loaded."""

    def __init__(self, reads: Reads, code: types.CodeType, own: bool) -> None:
        self.reads, self.code, self.top = reads, code, UNKNOWN
        self.library = values.is_library_code(code)
        self.own = own

    def __call__(self, frame: types.FrameType, event: str, arg: Any) -> Any:
        self.reads.look(self._event, frame, event, arg)
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

    def load_global(self, frame: types.FrameType, name: str, before: Any) -> Any:
        if name in frame.f_locals and self.code.co_name == "<module>":
            return UNKNOWN
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

    def deref(self, frame: types.FrameType, name: str, before: Any) -> Any:
        if name not in self.code.co_freevars:
            return frame.f_locals.get(name, UNKNOWN)
        found, number = UNKNOWN, self.code.co_freevars.index(name)
        for function in self.reads.functions.get(self.code, ()):
            value = content(function, number)
            label = f"the variable {name} around {function.__name__}"
            if name == "__class__":
                self.reads.reach(value, value.__name__, None)
            else:
                self.reads.note(function, "cell", number, value, label)
            found = value if found is UNKNOWN else UNKNOWN
        return found

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


_TRANSPARENT = {"EXTENDED_ARG", "CACHE", "NOP", "COPY", "PUSH_NULL"}
_HANDLERS = {
    **dict.fromkeys(("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW"), Frame.fast),
    **dict.fromkeys(("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "IMPORT_FROM"), Frame.attribute),
    **dict.fromkeys(("STORE_ATTR", "DELETE_ATTR"), Frame.store),
    **dict.fromkeys(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"), Frame.load_global),
    **dict.fromkeys(("STORE_GLOBAL", "DELETE_GLOBAL"), Frame.store_global),
    **dict.fromkeys(("LOAD_DEREF", "LOAD_CLOSURE", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"), Frame.deref),
    **dict.fromkeys(("STORE_DEREF", "DELETE_DEREF"), Frame.store_deref),
    "LOAD_CONST": Frame.const,
    "IMPORT_NAME": Frame.import_name,
    "MATCH_CLASS": Frame.match,
}
