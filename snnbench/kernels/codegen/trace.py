"""From a neuron's `step` to a graph of it and of its derivative, as PyTorch writes that."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Variable
from torch.fx.experimental.proxy_tensor import make_fx

from snnbench.kernels.cell import Cell, Unfusable
from snnbench.kernels.codegen.convert import Converter
from snnbench.kernels.codegen.graph import Graph
from snnbench.kernels.codegen.program import Program
from snnbench.kernels.codegen.queries import Call, Queries, default_call
from snnbench.kernels.codegen.runs import Finder, NoDraws, keep_device_guard, leave_step, line_of, reshapes
from snnbench.kernels.follow import followed
from snnbench.kernels.reads import Missed, Reads, Stop

_LOCK = threading.RLock()
_here = threading.local()
_TRIES = 3
_CHECKED = 1 << 16
"""Numbers in a frame up to which a step that asks for sizes is checked on a frame of the call's."""


@dataclasses.dataclass(frozen=True)
class Traced:
    """What came of tracing a step in a call: its program, or why there is none; its reads; if it asked for sizes."""

    program: Program | None
    obstacle: str
    reads: Reads
    sized: bool


def trace(cell: Cell, call: Call | None = None) -> Program:
    """The program of `cell.step` in a call, or in one of [B, C] frames.

    Raises:
        Unfusable: the step cannot be fused; names the neuron, what it is, and the line.
    """
    found = traced(cell, call or default_call(cell))
    if found.program is None:
        raise Unfusable(found.obstacle)
    return found.program


def refuse_inside() -> None:
    """Raises Unfusable in a step that is being traced: one that runs another neuron."""
    if getattr(_here, "tracing", False):
        raise Unfusable("it runs another neuron")


def traced(cell: Cell, call: Call) -> Traced:
    """Run `cell.step` a few times on inputs without meaning, and leave all that it could change as it was.

    In a thread of its own: PyTorch's modes, and hooks for saved tensors such as those of checkpoint, belong to one.
    """
    keep_device_guard()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_traced, cell, call).result()


def _traced(cell: Cell, call: Call) -> Traced:
    _here.tracing = True  # the thread ends with it
    with _LOCK, torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
        for _ in range(_TRIES):
            found, missed = _attempt(cell, call)
            if not missed:
                break
        return found


def _attempt(cell: Cell, call: Call) -> tuple[Traced, bool]:
    """What comes of tracing, and whether that was for want of reports about what the step did."""
    reads, tracer, program, obstacle, missed = Reads(cell), _Tracer(cell, call), None, "", False
    try:
        program = tracer.program(reads)
    except Unfusable as error:
        obstacle, missed = str(error), isinstance(error.__cause__, Missed)
    finally:
        reads.undo()
    if reads.written:
        what = reads.written[0]
        obstacle = f"{tracer.name}.step writes {what}, so that a call changes the next; make it a state"
    return Traced(None if obstacle else program, obstacle, reads, tracer.sized), missed


class _Tracer:
    """The runs of one step."""

    def __init__(self, cell: Cell, call: Call) -> None:
        self.cell, self.call, self.name = cell, call, type(cell).__name__
        self.states = tuple(cell.states)
        self.coefficients = tuple(name for name, _ in call.coefficients)
        self.answers: list[Any] = []
        self.sized = False

    def program(self, reads: Reads) -> Program:
        connected = self._first_run(reads)
        n, k = len(self.states), len(self.coefficients)
        numbers = [torch.full((), 0.5) for _ in range(2 + 2 * n + k)]
        with self._named():
            graph = make_fx(lambda *inputs: self._run(inputs, self._again(())))(*numbers)
        self.sized |= any(reshapes(node) for node in graph.graph.nodes)
        labels = [("x", 0), *(("v", i) for i in range(n)), *(("c", i) for i in range(k))]
        labels += [("gs", 0), *(("gv", i) for i in range(n))]
        convert = Converter(Graph(), self.name, self.cell, self.where)
        s, *new = convert(graph, labels)
        self.check(graph)
        return Program(
            name=self.name,
            states=self.states,
            coefficients=self.coefficients,
            per_step=tuple(key in self.cell.per_step for key in self.coefficients),
            spikes=s,
            next_states=tuple(new[:n]),
            grad_x=new[n],
            grad_states=tuple(new[n + 1 : 2 * n + 1]),
            grad_coefficients=tuple(new[2 * n + 1 :]),
            connected=connected,
        )

    def _first_run(self, reads: Reads) -> tuple[bool, ...]:
        """Run the step on tensors of the call's shapes without memory, and note what it reads and asks.

        Returns:
            Of x, each state and each coefficient, whether autograd finds a way from it to any output.
        """
        shape = self.call.shape
        shapes = [*[shape] * (1 + len(self.states)), *(own for _, own in self.call.coefficients)]
        shapes += [shape] * (1 + len(self.states))
        inputs = [torch.empty(one, device="meta") for one in shapes]
        queries = Queries(self.call, None, shape, reads.take)
        try:
            with self._named():
                try:
                    with NoDraws(), followed(reads):
                        found = self._run(inputs, queries)
                except RuntimeError:
                    self._refuse_captured(reads)
                    raise
        finally:
            self.answers, self.sized = queries.answers, queries.asked
        for key, value in zip(("the spikes", *self.states), found, strict=False):
            assert value is not None
            if value.shape != shape:
                raise Unfusable(f"{self.name}.step returns {key} of shape {list(value.shape)} for x {list(shape)}")
        return tuple(gradient is not None for gradient in found[1 + len(self.states) :])

    def _refuse_captured(self, reads: Reads) -> None:
        """Raises Unfusable that names a tensor on a device which the step reads: it goes with no input on meta."""
        for tensor, _ in reads.tensors.values():
            if tensor.device.type not in ("cpu", "meta"):
                Converter(Graph(), self.name, self.cell, self.where).captured(tensor)

    def _again(self, shape: tuple[int, ...]) -> Queries:
        return Queries(self.call, self.answers, shape)

    def _run(self, inputs: Any, queries: Queries) -> list[Tensor | None]:
        """Spikes, new states, and the gradients of x, the states and the coefficients, for gradients of the former."""
        n, k = len(self.states), len(self.coefficients)
        with queries:
            leaves = [value.detach().requires_grad_() for value in inputs[: 1 + n + k]]
            outputs = self._step(*leaves)
            grads = [value.detach() for value in inputs[1 + n + k :]]  # in the graph, these stand where the step ends
            paired = [(out, grad) for out, grad in zip(outputs, grads, strict=True) if out.requires_grad]
            if not paired:
                return [*outputs, *[None] * len(leaves)]
            roots, starts = zip(*paired, strict=True)
            # as torch.autograd.grad, which would hide what the surrogate asks in its derivative; with create_graph,
            # since PyTorch then writes derivatives in operations that have kernels
            run_backward = Variable._execution_engine.run_backward
            found = run_backward(
                roots, starts, True, True, tuple(leaves), allow_unreachable=True, accumulate_grad=False
            )
            return [*outputs, *found]

    def _step(self, x: Tensor, *rest: Tensor) -> list[Tensor]:
        n = len(self.states)
        state, c = dict(zip(self.states, rest[:n], strict=True)), dict(zip(self.coefficients, rest[n:], strict=True))
        s, new = self.cell.step(x, state, c, self.cell.spike)
        if set(new) != set(self.states):
            raise Unfusable(f"{self.name}.step returns the states {sorted(new)}, declared are {sorted(self.states)}")
        return [s, *(new[key] for key in self.states)]

    def check(self, graph: torch.fx.GraphModule) -> None:
        """The trace saw numbers; on tensors, too, it must say what the step says."""
        n, k = len(self.states), len(self.coefficients)
        frame: tuple[int, ...] = (2, 3)
        shapes: list[tuple[int, ...]] = [()] * k
        if self.sized:
            small = torch.Size(self.call.shape).numel() <= _CHECKED
            frame = tuple(size if small else min(size, 3) for size in self.call.shape)
            shapes = [tuple(size if small else min(size, 3) for size in shape) for _, shape in self.call.coefficients]
        generator = torch.Generator().manual_seed(0)
        inputs = [torch.rand(s, generator=generator) + 0.25 for s in (*[frame] * (1 + n), *shapes, *[frame] * (1 + n))]
        leave_step(graph, 1 + n, 1 + n + k)
        with self._named(), torch.no_grad():
            with self._again(frame):
                expected = self._step(*inputs[: 1 + n + k])
            got = graph(*inputs)
            pairs = [torch.broadcast_tensors(a, b) for a, b in zip(expected, got, strict=True)]
            same = all(torch.allclose(a, b, equal_nan=True) for a, b in pairs)
        if not same:
            raise Unfusable(f"{self.name}.step is not element-wise: on a tensor it differs from itself on numbers")

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Whatever goes wrong inside is an Unfusable with the neuron's name and the line."""
        try:
            yield
        except Stop as error:
            raise Unfusable(f"{self.name}.step{line_of(error.__traceback__)} {error}") from error
        except Unfusable as error:
            if str(error).startswith(f"{self.name}.step"):
                raise
            raise Unfusable(f"{self.name}.step{line_of(error.__traceback__)} cannot be fused: {error}") from error
        except Exception as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
            line = line_of(error.__traceback__)
            raise Unfusable(f"{self.name}.step{line} cannot be fused: {type(error).__name__}: {reason}") from error

    def where(self, op: str) -> str:
        """` (file:line)` of the first use of `op` in the step; empty if only its derivative uses it."""
        numbers = [torch.full((), 0.5) for _ in range(1 + len(self.states) + len(self.coefficients))]
        with Finder(op) as finder, torch.no_grad(), self._again(()):
            self._step(*numbers)
        return finder.found
