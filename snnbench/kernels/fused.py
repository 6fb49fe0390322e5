"""A call of a neuron outside torch.compile: find the kernel, call it inside an autograd.Function."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from snnbench.kernels import fused_ops
from snnbench.kernels.bind import Bound, bind
from snnbench.kernels.bind import _tell as tell
from snnbench.kernels.cell import Cell, NoEngine, State, check_call
from snnbench.kernels.codegen.program import Program
from snnbench.kernels.coefficients import coefficients_of
from snnbench.kernels.engines import reference
from snnbench.kernels.engines.contract import Gradients
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
            ctx.hooked = torch._C._autograd._top_saved_tensors_default_hooks(True) is not None
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(x, *rest)
        n, last = call.n, call.last
        s, finals = call.bound.kernel.forward(x, rest[:n], rest[n:], last)  # type: ignore[arg-type]
        return (s, *finals) if last else s

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        x, *rest = ctx.saved_tensors
        call, need, mark = ctx.call, ctx.needs_input_grad, ctx.mark
        wanted = (need[1], *need[4:])
        if torch.compiler.is_compiling():
            gx, *others = fused_ops.gradients(call.bound, call.n, x, rest, grads, wanted)
            return (None, gx, None, None, *others)
        once = mark is not None and unobserved(x, ctx.next_functions[0][0], mark)
        found = None
        # Hooks for saved tensors may bring back anything.
        if not (ctx.hooked and not plain(x.device, x, *rest)) and plain(x.device, *grads):
            found = _by_kernel(call, once, x, rest, grads, wanted)
        if found is None:
            names = call.bound.program.coefficients
            check_unchanged(call.cell, call.bound.program, x, dict(zip(names, rest[call.n :], strict=True)))
            gx, *others = reference.backward(call.cell, names, x, rest[: call.n], rest[call.n :], grads, wanted)
            return (None, gx, None, None, *others)
        gx, g_states, g_coefficients = found
        if once:
            gx = gx if ctx.narrow or gx is None else gx.unsqueeze(0)
            return (None, None, gx, None, *g_states, *g_coefficients)
        return (None, gx, None, None, *g_states, *g_coefficients)


def _by_kernel(
    call: Call, once: bool, x: Tensor, rest: list[Tensor], grads: tuple[Tensor | None, ...], wanted: tuple[bool, ...]
) -> Gradients | None:
    """The gradients of x (of its one frame, if `once`), states and coefficients; None if no kernel can give them."""
    bound, n = call.bound, call.n
    if bound.broken or torch.is_grad_enabled() or watched():
        return None
    gs, last = (grads[0], grads[1:]) if call.last else (grads[0], (None,) * n)
    try:
        kernel = bound.kernel if once or not (wanted[0] and bound.signature.static) else bound.moving()
        return kernel.backward(x, tuple(rest[:n]), tuple(rest[n:]), gs, last, wanted)
    except (NoEngine, OSError) as error:
        bound.broken = True
        tell(logging.WARNING, f"{type(call.cell).__name__}: reference engine, because {error}")
        return None


def check_unchanged(cell: Cell, program: Program | None, x: Tensor, coefficients: dict[str, Tensor]) -> None:
    """Refuse to run a neuron once more whose step is not what it was in the forward pass."""
    if plan_of(cell, x, coefficients).program is not program:
        raise RuntimeError(
            f"{type(cell).__name__} was changed between forward and backward (an attribute that step reads), and "
            "this backward has to run it again; change it later, or build the neuron with engine='reference'"
        )


def run(cell: Cell, x: Tensor, state: State | None, last: bool) -> tuple[Tensor, State]:
    """As snnbench.kernels.run."""
    device = x.device
    named = coefficients_of(cell, device)
    states: list[Tensor | None] = [None] * len(cell.states)
    if state:
        states = [state.get(name) for name in cell.states]
    if watched() or not plain(device, x, *states, *named.values()):
        return _aside(cell, x, state, named, watched() or _odd(device, x, states, named))
    plan = plan_of(cell, x, named)
    if plan.cuts:
        x, state, named = plan.cut(x, state, named, last)
        states = [state.get(name) for name in cell.states] if state else states
    coefficients = [float32(value) for value in named.values()]
    static = constant(x)
    frame = frame_of(x) if static and x.requires_grad else None
    static = static and (frame is not None or not x.requires_grad)
    given = tuple((name, value.shape, value.dtype) for name, value in state.items()) if state else ()
    shapes = tuple([tuple(c.shape) for c in coefficients])
    key = (x.shape, x.stride(), x.dtype, device, static, cell.engine, given, shapes)
    bound = plan.kernels.get(key, plan)
    if bound is plan:
        check_call(cell, x, state, named)
        signature = Signature(tuple(x.shape), x.stride(), x.dtype, static, shapes)
        found = None if _wide(state) else bind(cell, plan, x, signature, asked(x, states, coefficients))
        bound = Bound(*found, plan.program, signature, plan.key) if found and plan.program else None
        plan.keep(key, bound)
    if bound is None or bound.broken:
        return reference.run(cell, x, state, named)
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


def _odd(device: torch.device, x: Tensor, states: list[Tensor | None], named: dict[str, Tensor]) -> str:
    """What of a call is no plain tensor, in words."""
    values = {
        "x": x,
        **{f"state {i}": v for i, v in enumerate(states)},
        **{f"coefficient {k!r}": v for k, v in named.items()},
    }
    return next(f"{name} is {described(value)}" for name, value in values.items() if not plain(device, value))


def asked(x: Tensor, others: Iterable[Tensor | None], coefficients: Iterable[Tensor]) -> tuple[bool, ...] | None:
    """Of which coefficients the backward will give gradients; None if no backward is to come."""
    wanted = tuple([value.requires_grad for value in coefficients])
    any_other = any(value is not None and value.requires_grad for value in (x, *others))
    return wanted if torch.is_grad_enabled() and (any_other or any(wanted)) else None


def _wide(state: State | None) -> bool:
    """Whether the reference would compute in more than float32, because a state is more."""
    return any(value.dtype is torch.float64 or value.is_complex() for value in (state or {}).values())


def float32(value: Tensor) -> Tensor:
    """A coefficient as kernels take it."""
    if value.dtype is not torch.float32:
        value = value.float()
    return value if value.layout is not torch.strided or value.is_contiguous() else value.contiguous()
