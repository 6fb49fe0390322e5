"""From a neuron to its traced program, kept while its step would read what it read when it was traced."""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from snnbench.kernels.cell import Cell, State, check_call
from snnbench.kernels.codegen.graph import Node, needed
from snnbench.kernels.codegen.program import Program
from snnbench.kernels.codegen.queries import Call, default_call, shapes_of
from snnbench.kernels.codegen.trace import refuse_inside, traced
from snnbench.kernels.guards import guards
from snnbench.kernels.watch import check_of

_LIMIT = 4096
KNOWN = 64
"""Of each class so many plans are kept; the one that was not needed for longest goes first."""
RESTLESS = 16
"""A neuron that needs another plan in almost every call, so many times in a row, is left to the reference."""


class Plan:
    """A program, or why there is none, and the kernels bound to the signatures met so far."""

    def __init__(self, program: Program | None, obstacle: str = "") -> None:
        self.program, self.obstacle = program, obstacle
        self.kernels: dict[Any, Any] = {}
        self.behind: dict[tuple[bool, bool], Plan] = {}
        """The plans of the same step behind a norm: one for each timestep or not, with a residual or not."""
        self.key = _digest(program) if program else ""
        self._live: dict[tuple[int, bool], tuple[bool, ...]] = {}
        self.cuts = program is not None and not all(self.live(1, False))
        """Whether there are calls in which something has no part in what they return: see `cut`."""

    def keep(self, key: Any, kernel: Any) -> None:
        if len(self.kernels) >= _LIMIT:
            self.kernels.clear()
        self.kernels[key] = kernel

    def cut(
        self, x: Tensor, state: State | None, coefficients: dict[str, Tensor], last: bool
    ) -> tuple[Tensor, State | None, dict[str, Tensor]]:
        """The arguments of a call, detached where autograd would find no way from them to what it returns."""
        assert self.program is not None
        call = x.shape[0], last
        found = self._live.get(call)
        if found is None:
            found = self._live[call] = self.live(*call)
        if all(found):
            return x, state, coefficients
        alive, *rest = found
        n = len(self.program.states)
        dead_states = {key for key, live in zip(self.program.states, rest[:n], strict=True) if not live}
        dead = {key for key, live in zip(self.program.coefficients, rest[n:], strict=True) if not live}
        state = state and {key: value.detach() if key in dead_states else value for key, value in state.items()}
        cut = {key: value.detach() if key in dead else value for key, value in coefficients.items()}
        return x if alive else x.detach(), state, cut

    def live(self, T: int, last: bool) -> tuple[bool, ...]:
        """Of x, each state, each coefficient: whether autograd would find a way from it to what a call returns.

        To the spikes of T timesteps, and to the final states if `last`. What has none has no gradient: None, not 0.
        """
        program = self.program
        assert program is not None
        into = [program.grad_x, *program.grad_states, *program.grad_coefficients]
        from_ = [
            {node.args for node in needed([grad]) if node.op == "input" and node.args[0] in ("gs", "gv")}
            for grad in into
        ]
        states = [("gv", number) for number in range(len(program.states))]
        seen = {("gs", 0), *(states if last else ())}
        for _ in range(min(T - 1, len(states))):
            seen |= {state for state, outputs in zip(states, from_[1:], strict=False) if outputs & seen}
        # a derivative that is 0 everywhere depends on no gradient, but is one
        found = zip(program.connected, from_, strict=True)
        return tuple([connected and (not outputs or bool(outputs & seen)) for connected, outputs in found])


class _Entry:
    """A plan, and what tells whether it is the plan of a cell in a call."""

    def __init__(self, cell: Cell, call: Call) -> None:
        found = traced(cell, call)
        self.same, blind = check_of(found.reads)
        if found.program is None or blind:
            self.plan = Plan(None, found.obstacle or f"{type(cell).__name__}.step {blind}")
        else:
            plan = Plan(found.program)
            self.plan = _by_key.setdefault(plan.key, plan)
        self.plain = {place.label: repr(place.value)[:80] for place in found.reads.plain()}
        self.names = tuple(name for name, _ in call.coefficients)
        self.call = call if found.sized else None
        self.guards = None if found.sized else guards(found.reads)
        self.uses = 0

    def serves(self, cell: Cell, x: Tensor | None, coefficients: Mapping[str, Tensor] | None) -> bool:
        if not self.same(cell) or (coefficients is not None and tuple(coefficients) != self.names):
            return False
        call = self.call
        if call is None or x is None:
            return True
        if coefficients is None or x.shape[1:] != call.shape or x.device != call.device:
            return False
        return shapes_of(coefficients, cell.per_step, x.dim()) == call.coefficients


class _GivenUp(_Entry):
    """The entry of a cell that would be traced in almost every call."""

    def __init__(self, obstacle: str) -> None:
        self.plan, self.uses, self.guards = Plan(None, obstacle), 0, None

    def serves(self, cell: Cell, x: Tensor | None, coefficients: Mapping[str, Tensor] | None) -> bool:
        return True


class _Last:
    """The entry that served a cell last, and how often in a row a new one was needed at once."""

    def __init__(self, cell: Cell) -> None:
        number = id(cell)
        self.cell = weakref.ref(cell, lambda _: _by_cell.pop(number, None))
        self.entry: _Entry | None = None
        self.restless = 0


_by_cell: dict[int, _Last] = {}
_by_class: weakref.WeakKeyDictionary[type, list[_Entry]] = weakref.WeakKeyDictionary()
_by_key: dict[str, Plan] = {}
_lock = threading.RLock()


def plan_of(cell: Cell, x: Tensor | None = None, coefficients: Mapping[str, Tensor] | None = None) -> Plan:
    """The plan of `cell`, in a call with x [T, B, ...] and what `coefficients()` returned for it.

    Its step is traced anew where it would read something else than in every call before: an attribute, a global, a
    number in a buffer, a size that it asks for.

    Raises:
        ValueError: x or a coefficient has a shape or dtype that no engine can take.
    """
    last = _by_cell.get(id(cell))
    if last is not None and last.entry is not None and last.cell() is cell:
        entry = last.entry
        if entry.serves(cell, x, coefficients):
            entry.uses += 1
            return entry.plan
    refuse_inside()
    with _lock:
        return _search(cell, x, coefficients).plan


def guards_of(cell: Cell) -> tuple[tuple[tuple[str, ...], Any], ...] | None:
    """What torch.compile has to look out for, so that the plan of `cell` stays the right one: paths and values.

    None where the plan depends on more: on globals, entries of containers, numbers in tensors, sizes.
    """
    plan_of(cell)
    entry = _by_cell[id(cell)].entry
    return entry.guards if entry is not None else None


def plan_named(key: str) -> Plan:
    """The plan whose `key` this is; it was made in this process."""
    return _by_key[key]


def _search(cell: Cell, x: Tensor | None, coefficients: Mapping[str, Tensor] | None) -> _Entry:
    """The entry among those of the cell's class that serves it, or a new one."""
    last = _by_cell.get(id(cell))
    if last is None or last.cell() is not cell:
        last = _by_cell[id(cell)] = _Last(cell)
    known = _by_class.setdefault(type(cell), [])
    if last.restless >= RESTLESS and last.entry is not None:
        last.entry = _given_up(cell, *known[-2:])
        return last.entry
    entry = next((one for one in reversed(known) if one.serves(cell, x, coefficients)), None)
    if entry is None:
        if x is not None and coefficients is not None:
            check_call(cell, x, None, coefficients)  # what no engine could run says nothing about the step
        call = default_call(cell) if x is None or coefficients is None else Call.of(x, coefficients, cell.per_step)
        entry = _Entry(cell, call)
        last.restless = last.restless + 1 if last.entry is not None and last.entry.uses < 2 else 0
        del known[: len(known) - KNOWN + 1]
        known.append(entry)
    elif entry is not known[-1]:
        known.remove(entry)
        known.append(entry)
    last.entry = entry
    return entry


def _given_up(cell: Cell, one: _Entry, other: _Entry) -> _Entry:
    names = [name for name, text in one.plain.items() if other.plain.get(name, text) != text] or ["what changes"]
    what = f"{type(cell).__name__}.step reads {names[0]}, which changes in almost every call"
    return _GivenUp(f"{what}; return it from coefficients()")


def _digest(program: Program) -> str:
    """A name for the program that says all that kernels depend on."""
    outputs = [program.spikes, *program.next_states, program.grad_x, *program.grad_states, *program.grad_coefficients]

    def show(node: Node) -> str:
        args = ",".join(f"n{a.index}" if isinstance(a, Node) else repr(a) for a in node.args)
        return f"n{node.index}={node.op}({args}):{node.dtype}"

    text = ";".join(map(show, needed(outputs))) + "|" + ",".join(str(o.index) for o in outputs)
    text += f"|{program.states}|{program.coefficients}|{program.per_step}|{program.name}|{program.connected}"
    text += "|residual" if program.residual else ""
    return hashlib.sha256(text.encode()).hexdigest()[:24]
