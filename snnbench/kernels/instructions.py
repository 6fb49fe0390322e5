"""The instructions of a function as the interpreter reports them while it is followed, and which may follow which.

Versions of Python differ in what they report: of an instruction with a large argument 3.11 its EXTENDED_ARG alone,
later ones both; of what ends a loop some nothing.
"""

from __future__ import annotations

import dataclasses
import dis
import functools
import types
from collections.abc import Sequence
from typing import Any

NAMING = frozenset(dis.opname[code] for code in (*dis.hasname, *dis.hasfree))
"""Instructions whose argument is a name, or a variable that functions share."""
_JUMPS = frozenset((*dis.hasjrel, *dis.hasjabs))
_CONSTANTS = ("LOAD_CONST", "LOAD_SMALL_INT")
_PASSED_OVER = ("RESUME", "END_FOR", "POP_ITER", "NOT_TAKEN", "NOP")
_LEAVING = ("RAISE_VARARGS", "RERAISE", "CLEANUP_THROW", "END_ASYNC_FOR")
_ENDING = ("RETURN_VALUE", "RETURN_CONST", "YIELD_VALUE", "RETURN_GENERATOR")


@dataclasses.dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction; an EXTENDED_ARG is the one that it belongs to.

    Attributes:
        name, argument: as `dis` has them.
        offset: where it lies.
        constants: the last two, if they were loaded right before it.
        then: where the next one that is reported may lie; None where an error may lead anywhere, unreported.
        ends: whether the call may end or pause with it.
    """

    name: str
    argument: Any
    offset: int
    constants: tuple[Any, ...]
    then: frozenset[int] | None
    ends: bool


@functools.lru_cache(maxsize=1024)
def instructions(code: types.CodeType) -> tuple[dict[int, Instruction], frozenset[int]]:
    """The instructions of a function by offset, and at which of them a call may begin or go on."""
    found = list(dis.get_instructions(code))
    place = {one.offset: number for number, one in enumerate(found)}
    at: dict[int, Instruction] = {}
    constants: tuple[Any, ...] = ()
    for number, one in enumerate(found):
        last = next(n for n in range(number, len(found)) if found[n].opname != "EXTENDED_ARG")
        whole = found[last]
        then = {word.offset for word in found[number + 1 : last + 1]} | _reported(found, last + 1)
        if whole.opcode in _JUMPS:
            then |= _reported(found, place[whole.argval])
        leaves, ends = whole.opname in _LEAVING, whole.opname in _ENDING
        at[one.offset] = Instruction(
            whole.opname, whole.argval, whole.offset, constants, None if leaves else frozenset(then), ends
        )
        if one is whole:
            constants = (*constants[-1:], one.argval) if one.opname in _CONSTANTS else ()
    starts = [_reported(found, number) for number, one in enumerate(found) if one.opname == "RESUME"]
    return at, frozenset().union(*starts)


def _reported(found: Sequence[dis.Instruction], number: int) -> set[int]:
    """Where a report may come from when the instruction of this number is next."""
    offsets: set[int] = set()
    before = ""
    for one in found[number:]:
        offsets.add(one.offset)
        if one.opname not in _PASSED_OVER and not (one.opname == "POP_TOP" and before == "END_FOR"):
            break
        before = one.opname
    return offsets
