"""From a neuron to its traced program, kept while the neuron's constants stay what they are."""

from __future__ import annotations

import hashlib
import weakref
from typing import Any

from torch import nn

from snnbench.kernels.cell import Cell, Unfusable
from snnbench.kernels.codegen.graph import Node, needed
from snnbench.kernels.codegen.trace import Program, trace

_INTERNAL = frozenset(vars(nn.Module())) - {"training"} | {"engine"}
_LIMIT = 4096


class Plan:
    """A program, or why there is none, and the kernels bound to the signatures met so far."""

    def __init__(self, program: Program | None, obstacle: str = "") -> None:
        self.program, self.obstacle = program, obstacle
        self.kernels: dict[Any, Any] = {}
        self.key = _digest(program) if program else ""

    def keep(self, key: Any, kernel: Any) -> None:
        if len(self.kernels) >= _LIMIT:
            self.kernels.clear()
        self.kernels[key] = kernel


_by_cell: weakref.WeakKeyDictionary[Any, tuple[Plan, list[Any], tuple[Any, ...] | None]] = weakref.WeakKeyDictionary()
_by_constants: dict[Any, Plan] = {}
_by_key: dict[str, Plan] = {}


def plan_of(cell: Cell) -> Plan:
    """The plan of `cell`; traced anew where a constant on it (a float, a flag, the surrogate) has changed."""
    known = _by_cell.get(cell)
    if known is not None and known[2] is not None and _untouched(cell, known[2]):
        return known[0]
    constants = _constants(cell)
    if known is not None and _same(known[1], constants):
        return known[0]
    key = (type(cell), type(cell).step, tuple(cell.states), tuple(cell.per_step), *constants)
    try:
        plan = _by_constants.get(key)
    except TypeError:
        plan = _new(cell)
    else:
        if plan is None:
            plan = _by_constants[key] = _new(cell)
    _by_cell[cell] = (plan, constants, _attributes(cell))
    return plan


def plan_named(key: str) -> Plan:
    """The plan whose `key` this is; it was made in this process."""
    return _by_key[key]


def _new(cell: Cell) -> Plan:
    if len(_by_constants) >= _LIMIT:
        _by_constants.clear()
    try:
        plan = Plan(trace(cell))
    except Unfusable as error:
        return Plan(None, str(error))
    return _by_key.setdefault(plan.key, plan)


def _constants(cell: Any) -> list[Any]:
    """What `step` may have read from the object: all attributes but tensors in nn.Module's own tables."""
    found: list[Any] = []
    for name, value in vars(cell).items():
        if name not in _INTERNAL:
            found += (name, tuple(value) if type(value) is list else value)
    for name, module in (vars(cell).get("_modules") or {}).items():
        found += (name, type(module), *_constants(module))
    return found


def _attributes(cell: Any) -> tuple[Any, ...] | None:
    """Names and values as they are, for a quick look whether all is as before; None where a value may change inside."""
    found = tuple((name, value) for name, value in vars(cell).items() if name not in _INTERNAL)
    frozen = all(_frozen(value) for _, value in found)
    return (len(vars(cell)), found) if frozen and not vars(cell).get("_modules") else None


def _frozen(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_frozen(part) for part in value)
    parameters = getattr(type(value), "__dataclass_params__", None)
    return isinstance(value, bool | int | float | str | None) or (parameters is not None and parameters.frozen)


def _untouched(cell: Any, attributes: tuple[Any, ...]) -> bool:
    now, (count, found) = vars(cell), attributes
    if len(now) != count:
        return False
    for name, value in found:  # noqa: SIM110 (a loop takes half the time of all(...))
        if now.get(name) is not value:
            return False
    return True


def _same(a: list[Any], b: list[Any]) -> bool:
    try:
        return a == b
    except (RuntimeError, TypeError, ValueError):
        return False


def _digest(program: Program) -> str:
    """A name for the program that says all that kernels depend on."""
    outputs = [program.spikes, *program.next_states, program.grad_x, *program.grad_states, *program.grad_coefficients]

    def show(node: Node) -> str:
        args = ",".join(f"n{a.index}" if isinstance(a, Node) else repr(a) for a in node.args)
        return f"n{node.index}={node.op}({args}):{node.dtype}"

    text = ";".join(map(show, needed(outputs))) + "|" + ",".join(str(o.index) for o in outputs)
    text += f"|{program.states}|{program.coefficients}|{program.per_step}|{program.name}"
    return hashlib.sha256(text.encode()).hexdigest()[:24]
