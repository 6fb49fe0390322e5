"""A run of a step, followed instruction by instruction.

The interpreter reports each instruction of the step, and of all Python that it calls, before it is executed
(`sys.settrace`). A name that is loaded from a known object is a read of that object; from one that is not known, say
the result of a call, it is taken for a read of every object reached so far that has the name. So no read is missed.
"""

from __future__ import annotations

import builtins
import gc
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from snnbench.kernels import values
from snnbench.kernels.frames import ASKING, FORBIDDEN, Frame
from snnbench.kernels.reads import REMEDY, Reads, Stop, functions_of

_OWN = str(Path(__file__).parent)
_PROJECT = Path(__file__).parents[1].name


@contextmanager
def followed(reads: Reads) -> Iterator[None]:
    """What this thread runs inside is noted in `reads`. Raises Stop, from within, before what cannot be watched.

    No garbage is collected meanwhile: finalizers would run as if the step called them, and a Stop that one of them
    swallowed would end the following, so that what is read from then on were missed.
    """
    thread, before, collects = threading.get_ident(), sys.gettrace(), gc.isenabled()
    asking = {function.__name__: _asking(reads, thread, function) for function in ASKING}
    names = vars(builtins)

    def follower(frame: types.FrameType, event: str, arg: Any) -> Any:
        return None if reads.looking else reads.look(_entered, reads, frame)

    try:
        names.update(asking)
        gc.disable()
        sys._getframe().f_trace_opcodes = True  # Python 3.12 reports no instruction to a follower set before this
        sys.settrace(follower)
        yield
        if sys.gettrace() is not follower:
            raise Stop("was not followed to its end: something else ran within it, and failed")
    finally:
        sys.settrace(before)
        if collects:
            gc.enable()
        names.update({function.__name__: function for function in ASKING})


def _asking(reads: Reads, thread: int, original: Any) -> Any:
    """getattr or one of its kin, noting what it is asked by the followed code of this thread."""

    def ask(*args: Any) -> Any:
        code = sys._getframe(1).f_code
        ours = threading.get_ident() == thread and not reads.looking
        if ours and len(args) > 1 and type(args[1]) is str and not (_is_hidden(code) or code in reads.errands):
            name = args[1]
            if name.startswith("__") and values.is_library_code(code):
                return original(*args)
            if name in FORBIDDEN:
                raise Stop(f"uses {name}, behind which all may change; {REMEDY}")
            reads.look(reads.storing, name) if original in ASKING[2:] else reads.look(reads.read, args[0], name)
        return original(*args)

    ask.__wrapped__ = original  # type: ignore[attr-defined]
    return ask


def _is_hidden(code: types.CodeType) -> bool:
    return values.is_closed_code(code) or code.co_filename.startswith(_OWN)


def _entered(reads: Reads, frame: types.FrameType) -> Any:
    """Of a call, what follows it; None for code that reads nothing of the user's."""
    code = frame.f_code
    if _is_hidden(code):
        return None
    if _is_errand(reads, frame):
        reads.errands.add(code)
        return None
    if not values.is_library_code(code):
        for function in _functions(reads, frame):
            for kind in ("__defaults__", "__kwdefaults__"):
                if getattr(function, kind):
                    label = f"the defaults of {function.__name__}"
                    reads.note(function, kind, None, getattr(function, kind), label)
        if code.co_name == "__getattr__" and code.co_argcount == 2:
            holder, name = (frame.f_locals[key] for key in code.co_varnames[:2])
            reads.read(holder, name)
    followed = Frame(reads, code, str(frame.f_globals.get("__name__")).startswith(f"{_PROJECT}."))
    frame.f_trace, frame.f_trace_lines = followed, False
    frame.f_trace_opcodes = True  # after f_trace, without which Python 3.13 reports no instruction of this call
    return followed


def _is_errand(reads: Reads, frame: types.FrameType) -> bool:
    """Whether PyTorch has called it for itself: a library's function, or what evaluates annotations for a signature."""
    back, code = frame.f_back, frame.f_code
    if back is None or not (_is_hidden(back.f_code) or back.f_code in reads.errands) or code in reads.functions:
        return False
    installed = code.co_filename.startswith(values.INSTALLED) and not code.co_filename.startswith(values.LAYERS)
    return installed or code.co_name == "__annotate__"


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
