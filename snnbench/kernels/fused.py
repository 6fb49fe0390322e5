"""A call of a neuron outside torch.compile: find the kernel, call it inside an autograd.Function."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from snnbench.kernels import fused_ops
from snnbench.kernels.bind import Bound, bind, tell
from snnbench.kernels.cell import Cell, NoEngine, State, check_call
from snnbench.kernels.coefficients import coefficients_of
from snnbench.kernels.engines import reference
from snnbench.kernels.engines.signature import Signature
from snnbench.kernels.plain import described, plain, watched
from snnbench.kernels.plans import plan_of
from snnbench.kernels.repeated import constant, frame_of, mark_on, unobserved


@dataclasses.dataclass(slots=True)
class Call:
    """Of one call, what is no tensor: the kernel, the neuron, whether the final states are wanted."""

    bound: Bound
    cell: Cell
    n: int
    last: bool


class Fused(Function):
    """Saves x, the initial states and the coefficients; nothing where no gradient is wanted.

    `frame` is what x was expanded from, where its gradient may go there; `mark` see repeated.py.
    """

    @staticmethod
    def forward(
        ctx: Any, call: Call, x: Tensor, frame: Tensor | None, mark: Tensor | None, *rest: Tensor | None
    ) -> Any:
        if True in ctx.needs_input_grad:
            ctx.call, ctx.mark, ctx.narrow = call, mark, frame is not None and frame.dim() < x.dim()
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(x, *rest)
        n, last = call.n, call.last
        s, finals = call.bound.kernel.forward(x, rest[:n], rest[n:], last)  # type: ignore[arg-type]
        return (s, *finals) if last else s

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        x, *rest = ctx.saved_tensors
        need = ctx.needs_input_grad
        wanted = (need[1], *need[4:])
        if torch.compiler.is_compiling():
            gx, *others = fused_ops.gradients(ctx.call.bound, ctx.call.n, x, rest, grads, wanted)
        else:
            once = ctx.mark is not None and unobserved(x, ctx.next_functions[0][0], ctx.mark)
            gx, *others = _gradients(ctx.call, once, x, rest, grads, wanted)
            if once and gx is not None and gx.dim() < x.dim():
                return (None, None, gx if ctx.narrow else gx.unsqueeze(0), None, *others)
        return (None, gx, None, None, *others)


def _gradients(
    call: Call, once: bool, x: Tensor, rest: list[Tensor | None], grads: tuple[Tensor | None, ...], wanted: Any
) -> list[Tensor | None]:
    """The gradients of x (of its one frame, if `once` and a kernel can be had), of the states, of the coefficients."""
    n, bound, cell = call.n, call.bound, call.cell
    states, coefficients = tuple(rest[:n]), tuple(rest[n:])
    again = torch.is_grad_enabled()
    if not again and not bound.broken and not watched() and plain(x.device, x, *rest, *grads):
        static = bound.signature.static and (once or not wanted[0])
        gs, *last = grads if call.last else (*grads, *(None,) * n)
        try:
            kernel = bound.kernel if static else bound.moving()
            gx, g_states, g_coefficients = kernel.backward(x, states, coefficients, gs, tuple(last), wanted)
            return [gx, *g_states, *g_coefficients]
        except (NoEngine, OSError) as error:
            bound.broken = True
            tell(logging.WARNING, f"{type(cell).__name__}: reference engine, because {error}")
    if plan_of(cell).program is not bound.program:
        raise RuntimeError(
            f"{type(cell).__name__} was changed between forward and backward (an attribute that step reads), and this "
            "backward has to run it again; change it after the backward, or build the neuron with engine='reference'"
        )
    return reference.backward(cell, bound.program.coefficients, x, states, coefficients, grads, wanted)


def run(cell: Cell, x: Tensor, state: State | None, last: bool) -> tuple[Tensor, State]:
    """As snnbench.kernels.run."""
    device = x.device
    if watched() or not plain(device, x):
        return _aside(cell, x, state, coefficients_of(cell, device), watched() or f"x is {described(x)}")
    named = coefficients_of(cell, device)
    plan = plan_of(cell)
    coefficients = [_float32(value) for value in named.values()]
    static = constant(x)
    frame = frame_of(x) if static and x.requires_grad else None
    static = static and (frame is not None or not x.requires_grad)
    states = [state.get(name) for name in cell.states] if state else [None] * len(cell.states)
    given = tuple((name, value.shape, value.dtype) for name, value in state.items()) if state else ()
    shapes = tuple([tuple(c.shape) for c in coefficients])
    key = (x.shape, x.stride(), x.dtype, device, static, cell.engine, given, shapes)
    bound = plan.kernels.get(key, plan)
    if bound is plan:
        check_call(cell, x, state, named)
        signature = Signature(tuple(x.shape), x.stride(), x.dtype, static, shapes)
        found = None if _wide(state) else bind(cell, plan, x, signature)
        bound = Bound(*found, plan.program, signature, plan.key) if found and plan.program else None
        plan.keep(key, bound)
    if bound is None or bound.broken:
        return reference.run(cell, x, state, named)
    if not plain(device, *states, *coefficients):
        odd = next(value for value in (*states, *coefficients) if not plain(device, value))
        return _aside(cell, x, state, named, f"a state or coefficient is {described(odd)}")
    mark = None if frame is None else mark_on(device)
    try:
        results = Fused.apply(Call(bound, cell, len(states), last), x, frame, mark, *states, *coefficients)
    except NoEngine as error:
        bound.broken = True
        return _aside(cell, x, state, named, str(error), logging.WARNING)
    return (results[0], dict(zip(cell.states, results[1:], strict=True))) if last else (results, {})


def _aside(
    cell: Cell, x: Tensor, state: State | None, named: dict[str, Tensor], reason: str, level: int = logging.INFO
) -> tuple[Tensor, State]:
    """The reference, for a call that is none for kernels."""
    tell(level, f"{type(cell).__name__}: reference engine, because {reason}")
    check_call(cell, x, state, named)
    return reference.run(cell, x, state, named)


def _wide(state: State | None) -> bool:
    """Whether the reference would compute in more than float32, because a state is more."""
    return any(value.dtype is torch.float64 or value.is_complex() for value in (state or {}).values())


def _float32(value: Tensor) -> Tensor:
    if value.dtype is not torch.float32:
        value = value.float()
    return value if value.layout is not torch.strided or value.is_contiguous() else value.contiguous()
