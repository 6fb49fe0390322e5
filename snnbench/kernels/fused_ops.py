"""A call of a neuron inside torch.compile: a pair of library ops, which it takes as they are.

There is one pair for all neurons; `key` says which engine and which program. Outside torch.compile, fused.py calls the
engines directly: that costs a third of the host time.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from snnbench.kernels.bind import Bound, bind
from snnbench.kernels.bind import _tell as tell
from snnbench.kernels.cell import Cell, NoEngine, State, check_call
from snnbench.kernels.codegen.program import Program
from snnbench.kernels.coefficients import coefficients_of
from snnbench.kernels.engines import reference
from snnbench.kernels.engines.contract import Kernel
from snnbench.kernels.engines.registry import engine_called
from snnbench.kernels.engines.signature import Signature
from snnbench.kernels.plans import guards_of, plan_named, plan_of

_cells: dict[str, weakref.WeakSet[Any]] = {}


def run(cell: Cell, x: Tensor, state: State | None, last: bool) -> tuple[Tensor, State]:
    """As snnbench.kernels.run."""
    named = coefficients_of(cell, x.device)
    key = _key(cell, x.device.type, str(x.dtype))
    for path, value in _numbers(cell):  # read while tracing, so that torch.compile looks out for changes
        found = cell
        for name in path:
            found = getattr(found, name)
        if found != value:
            return reference.run(cell, x, state, named)
    if not key:
        return reference.run(cell, x, state, named)
    check_call(cell, x, state, named)
    _remember(cell, key)
    dead = _dead(cell, x.shape[0] == 1, last)
    x = x.detach() if "x" in dead else x
    state = {name: value.detach() if name in dead else value for name, value in (state or {}).items()}
    coefficients = [(v.detach() if ("c", name) in dead else v).float().contiguous() for name, v in named.items()]
    states = []
    if state:
        zero = x.new_zeros(x.shape[1:], dtype=torch.float32)
        states = [state.get(name, zero).float() for name in cell.states]
    s, *finals = torch.ops.snnbench.forward(x, states, coefficients, key, len(cell.states) if last else 0)
    return s, dict(zip(cell.states, finals, strict=True)) if last else {}


@torch.compiler.assume_constant_result
def _key(cell: Any, device: str, dtype: str) -> str:
    """The names of engine and program, or "" if the reference engine must run this call; decided while tracing."""
    plan = plan_of(cell)
    if plan.program is None or guards_of(cell) is None:
        return ""
    example = torch.empty((1, 0), dtype=getattr(torch, dtype.removeprefix("torch.")), device=device)
    shapes = tuple((1,) * per_step for per_step in plan.program.per_step)
    bound = bind(cell, plan, example, Signature((1, 0), (0, 1), example.dtype, False, shapes))
    return f"{bound[0].name}/{plan.key}" if bound else ""


@torch.compiler.assume_constant_result
def _numbers(cell: Any) -> tuple[tuple[tuple[str, ...], Any], ...]:
    """What step reads of the cell and of what hangs on it: names of attributes, one after the other, and the value."""
    return guards_of(cell) or ()


@torch.compiler.assume_constant_result
def _dead(cell: Any, single: bool, last: bool) -> tuple[Any, ...]:
    """What has no part in the results of a call: "x", a state's name, or ("c", a coefficient's)."""
    plan = plan_of(cell)
    if not plan.cuts or plan.program is None:
        return ()
    names = ["x", *plan.program.states, *(("c", name) for name in plan.program.coefficients)]
    live = plan.live(1 if single else len(names) + 1, last)
    return tuple(name for name, alive in zip(names, live, strict=True) if not alive)


@torch.compiler.assume_constant_result
def _remember(cell: Any, key: str) -> None:
    """Keep the neuron at hand, weakly, for calls whose kernel cannot be had when it is needed."""
    _cells.setdefault(key.partition("/")[2], weakref.WeakSet()).add(cell)


def _without(key: str, error: Exception) -> Cell:
    """A neuron whose reference stands in for the kernel of `key`, which says in a line that it does; or `error`."""
    program_key = key.partition("/")[2]
    for cell in _cells.get(program_key, ()):
        if plan_of(cell).key == program_key:
            tell(logging.WARNING, f"{type(cell).__name__}: reference engine, because {error}")
            return cell
    raise error


def gradients(
    bound: Bound, n: int, x: Tensor, rest: Sequence[Tensor | None], grads: Sequence[Tensor | None], wanted: Any
) -> list[Tensor | None]:
    """What a backward outside of torch.compile hands over when compiled autograd takes it in: an op."""
    zero = x.new_zeros(x.shape[1:], dtype=torch.float32)
    states = [zero if value is None else value.float() for value in rest[:n]]
    gs, *last = [zero.to(x.dtype).expand(x.shape) if g is None and i == 0 else g for i, g in enumerate(grads)]
    given = [zero if g is None else g for g in last]
    key = f"{bound.engine.name}/{bound.key}"
    found = torch.ops.snnbench.backward(x, states, rest[n:], gs, given, key)
    return [value if want else None for value, want in zip(found, wanted, strict=True)]


def _program(key: str) -> Program:
    program = plan_named(key.partition("/")[2]).program
    assert program is not None
    return program


def _differentiated(x: Tensor, work: Callable[[], list[Tensor | None]]) -> list[Tensor | None]:
    """`work` in a thread of its own: inside an op autograd is not at work, and that belongs to the thread."""
    stream = torch.cuda.current_stream(x.device) if x.is_cuda else None

    def there() -> list[Tensor | None]:
        with torch.cuda.stream(stream), torch.no_grad():
            return work()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(there).result()


def _kernel(key: str, x: Tensor, coefficients: Sequence[Tensor]) -> Kernel:
    """The kernel for a call."""
    name, _, program_key = key.partition("/")
    plan = plan_named(program_key)
    shapes = tuple(tuple(c.shape) for c in coefficients)
    call = ("op", name, x.shape, x.stride(), x.dtype, x.device, shapes)
    kernel = plan.kernels.get(call)
    if kernel is None:
        signature = Signature(tuple(x.shape), x.stride(), x.dtype, False, shapes)
        kernel = engine_called(name).kernel(_program(key), signature)
        plan.keep(call, kernel)
    return kernel


def _like(value: Tensor, x: Tensor) -> Tensor:
    """`value` with the strides that the fake implementations promise: those of empty_like(x)."""
    if value.stride() == x.stride() and value.shape == x.shape:
        return value
    expected = torch.empty_like(x, dtype=value.dtype)
    return value if expected.stride() == value.stride() else expected.copy_(value)


@torch.library.custom_op("snnbench::forward", mutates_args=())
def forward(x: Tensor, states: Sequence[Tensor], coefficients: Sequence[Tensor], key: str, last: int) -> list[Tensor]:
    """Spikes and `last` (all or none) final states."""
    try:
        kernel = _kernel(key, x, coefficients)
        given = tuple(states) or (None,) * len(_program(key).states)
        s, finals = kernel.forward(x, given, tuple(coefficients), bool(last))
    except (NoEngine, OSError) as error:
        cell = _without(key, error)
        names = _program(key).coefficients
        state = dict(zip(cell.states, states, strict=True)) if states else None
        s, ends = reference.run(cell, x, state, dict(zip(names, coefficients, strict=True)))
        finals = [ends[name] for name in cell.states] if last else []
    return [_like(s, x), *(f.contiguous() for f in finals)]


@torch.library.custom_op("snnbench::backward", mutates_args=())
def backward(
    x: Tensor, states: Sequence[Tensor], coefficients: Sequence[Tensor], gs: Tensor, g_last: Sequence[Tensor], key: str
) -> list[Tensor]:
    """The gradients of x, of the states, of the coefficients."""
    n = len(_program(key).states)
    wanted = (True, *[bool(states)] * n, *[True] * len(coefficients))
    given, last = tuple(states) or (None,) * n, tuple(g_last) or (None,) * n
    try:
        kernel = _kernel(key, x, coefficients)
        gx, g_states, g_coefficients = kernel.backward(x, given, tuple(coefficients), gs, last, wanted)
        gradients = [gx, *g_states, *g_coefficients]
    except (NoEngine, OSError) as error:
        cell, names = _without(key, error), _program(key).coefficients
        ends = (gs, *last)
        gradients = _differentiated(x, lambda: reference.backward(cell, names, x, given, coefficients, ends, wanted))
    pairs = zip(gradients, (x, *given, *coefficients), strict=True)
    first, *rest = [torch.zeros_like(v) if g is None else g for g, v in pairs if v is not None]
    return [_like(first, x), *(value.contiguous() for value in rest)]


@forward.register_fake
def _(x: Tensor, states: Sequence[Tensor], coefficients: Sequence[Tensor], key: str, last: int) -> list[Tensor]:
    finals = [x.new_empty(x.shape[1:], dtype=torch.float32) for _ in range(last)]
    return [torch.empty_like(x), *finals]


@backward.register_fake
def _(x: Tensor, states: Any, coefficients: Any, gs: Tensor, g_last: Any, key: str) -> list[Tensor]:
    shapes = [v.shape for v in (*states, *coefficients)]
    return [torch.empty_like(x), *(x.new_empty(shape, dtype=torch.float32) for shape in shapes)]


def _save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    x, states, coefficients, ctx.key, _ = inputs
    ctx.n = len(states)
    ctx.save_for_backward(x, *states, *coefficients)


def _differentiate(ctx: Any, grads: list[Tensor]) -> tuple[Any, ...]:
    x, *rest = ctx.saved_tensors
    gs, *g_last = grads
    found = torch.ops.snnbench.backward(x, rest[: ctx.n], rest[ctx.n :], gs, g_last, ctx.key)
    return found[0], found[1 : ctx.n + 1], found[ctx.n + 1 :], None, None


forward.register_autograd(_differentiate, setup_context=_save)
