"""From a neuron's `step` to two graphs: the step itself, and its derivative as PyTorch writes it."""

from __future__ import annotations

import dataclasses
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from snnbench.kernels.cell import Cell, Unfusable
from snnbench.kernels.codegen.convert import Converter
from snnbench.kernels.codegen.graph import Graph, Node

_LOCK = threading.RLock()
_OWN = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))


@dataclasses.dataclass(frozen=True)
class Program:
    """A traced step. Inputs are nodes with op "input" and args ("x",), ("v", i), ("c", i), ("gs",) or ("gv", i)."""

    name: str
    states: tuple[str, ...]
    coefficients: tuple[str, ...]
    per_step: tuple[bool, ...]
    spikes: Node
    next_states: tuple[Node, ...]
    grad_x: Node
    grad_states: tuple[Node, ...]
    grad_coefficients: tuple[Node, ...]


def trace(cell: Cell) -> Program:
    """Trace `cell.step` and its vector-Jacobian product on scalars.

    In a thread of its own: torch.func refuses to work under hooks for saved tensors, such as those of checkpoint, and
    these belong to a thread.

    Raises:
        Unfusable: the step holds something that is not an operation on scalars; names the neuron and the line.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_trace, cell).result()


def _trace(cell: Cell) -> Program:
    name = type(cell).__name__
    coefficients = tuple(cell.coefficients())
    states = tuple(cell.states)

    def step(x: Tensor, v: list[Tensor], c: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        named = dict(zip(coefficients, c, strict=True))
        s, new = cell.step(x, dict(zip(states, v, strict=True)), named, cell.spike)
        if set(new) != set(states):
            raise Unfusable(f"{name}.step returns the states {sorted(new)}, declared are {sorted(states)}")
        return s, [new[key] for key in states]

    def derivative(x: Tensor, v: list[Tensor], c: list[Tensor], gs: Tensor, gv: list[Tensor]) -> Any:
        return torch.func.vjp(step, x, v, c)[1]((gs, gv))

    def scalars(n: int) -> list[Tensor]:
        return [torch.full((), 0.5, device="cpu", dtype=torch.float32) for _ in range(n)]

    inputs = (scalars(1)[0], scalars(len(states)), scalars(len(coefficients)))
    labels: list[tuple[str, int]] = [("x", 0), *(("v", i) for i in range(len(states)))]
    labels += [("c", i) for i in range(len(coefficients))]
    with _LOCK, _disable_current_modes(), torch.inference_mode(False), torch.enable_grad():
        forward = _make_fx(name, step, inputs)
        backward = _make_fx(name, derivative, (*inputs, scalars(1)[0], scalars(len(states))))
        convert = Converter(Graph(), name, cell, lambda op: _where(cell, step, inputs, op))
        s, *new = convert(forward, labels)
        gx, *grads = convert(backward, [*labels, ("gs", 0), *(("gv", i) for i in range(len(states)))])
        _check_elementwise(name, step, forward, len(states), len(coefficients))
    return Program(
        name=name,
        states=states,
        coefficients=coefficients,
        per_step=tuple(key in cell.per_step for key in coefficients),
        spikes=s,
        next_states=tuple(new),
        grad_x=gx,
        grad_states=tuple(grads[: len(states)]),
        grad_coefficients=tuple(grads[len(states) :]),
    )


def _make_fx(name: str, function: Any, inputs: tuple[Any, ...]) -> torch.fx.GraphModule:
    with torch.autocast("cpu", enabled=False):
        try:
            return make_fx(function)(*inputs)
        except Unfusable:
            raise
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
            line = _line(error.__traceback__)
            raise Unfusable(f"{name}.step{line} cannot be fused: {type(error).__name__}: {reason}") from error


def _check_elementwise(name: str, step: Any, graph: torch.fx.GraphModule, states: int, coefficients: int) -> None:
    """The trace saw scalars; on tensors, too, it must say what the step says (x.dim(), x.numel() would not)."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device="cpu", dtype=torch.float32) + 0.25

    inputs = (random(2, 3), [random(2, 3) for _ in range(states)], [random() for _ in range(coefficients)])
    try:
        with torch.no_grad():
            expected, got = step(*inputs), graph(*inputs)
        same = all(torch.allclose(a, b, equal_nan=True) for a, b in _pairs(expected, got))
    except Unfusable:
        raise
    except Exception as error:
        raise Unfusable(f"{name}.step{_line(error.__traceback__)} cannot be fused: {error}") from error
    if not same:
        raise Unfusable(f"{name}.step is not element-wise: on a tensor it differs from itself on numbers")


def _pairs(a: Any, b: Any) -> list[tuple[Tensor, Tensor]]:
    flat_a, flat_b = (torch.utils._pytree.tree_leaves(tree) for tree in (a, b))
    return [torch.broadcast_tensors(x, y) for x, y in zip(flat_a, flat_b, strict=True)]


def _line(trace_back: TracebackType | None) -> str:
    frames = [f for f in traceback.extract_tb(trace_back) if not f.filename.startswith(_OWN)]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


class _Finder(TorchDispatchMode):
    """Remembers the source line of the first call of one operation."""

    def __init__(self, op: str) -> None:
        super().__init__()
        self.op, self.found = op, ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if str(func) == self.op and not self.found:
            frames = [f for f in traceback.extract_stack() if not f.filename.startswith(_OWN)]
            self.found = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
        return func(*args, **(kwargs or {}))


def _where(cell: Cell, step: Any, inputs: tuple[Any, ...], op: str) -> str:
    """` (file:line)` of the first use of `op` in the step; empty if only its derivative uses it."""
    with _Finder(op) as finder, torch.no_grad():
        step(*inputs)
    return finder.found
