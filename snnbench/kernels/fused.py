"""A call of a neuron outside torch.compile: find the kernel, call it inside an autograd.Function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from snnbench.kernels.bind import bind
from snnbench.kernels.cell import Cell, State, check_call
from snnbench.kernels.engines import reference
from snnbench.kernels.engines.contract import Kernel
from snnbench.kernels.engines.layout import same_frames
from snnbench.kernels.engines.signature import Signature
from snnbench.kernels.plans import plan_of


class Fused(Function):
    """Saves x, the initial states and the coefficients; nothing where no gradient is wanted."""

    @staticmethod
    def forward(ctx: Any, kernel: Kernel, n: int, last: bool, x: Tensor, *rest: Tensor | None) -> Any:
        if True in ctx.needs_input_grad:
            ctx.kernel, ctx.n = kernel, n
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(x, *rest)
        s, finals = kernel.forward(x, rest[:n], rest[n:], last)  # type: ignore[arg-type]
        return (s, *finals) if last else s

    @staticmethod
    def backward(ctx: Any, gs: Tensor | None, *g_last: Tensor | None) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError("the fused kernels have no second derivative; build the neuron with engine='reference'")
        x, *rest = ctx.saved_tensors
        n = ctx.n
        states, coefficients = tuple(rest[:n]), tuple(rest[n:])
        wanted = ctx.needs_input_grad[3:]
        gx, g_states, g_coefficients = ctx.kernel.backward(x, states, coefficients, gs, g_last or (None,) * n, wanted)
        return (None, None, None, gx, *g_states, *g_coefficients)


def run(cell: Cell, x: Tensor, state: State | None, last: bool) -> tuple[Tensor, State]:
    """As snnbench.kernels.run."""
    named = cell.coefficients()
    plan = plan_of(cell, x, named)
    if plan.cuts:
        x, state, named = plan.cut(x, state, named, last)
    coefficients = [_plain(value) for value in named.values()]
    once = _origin(x)
    states = [state.get(name) for name in cell.states] if state else [None] * len(cell.states)
    given = tuple((name, value.shape) for name, value in state.items()) if state else ()
    shapes = tuple([tuple(c.shape) for c in coefficients])
    key = (x.shape, x.stride(), x.dtype, x.device, once is None, cell.engine, given, shapes)
    kernel = plan.kernels.get(key, plan)
    if kernel is plan:
        check_call(cell, x, state, named)
        signature = Signature(tuple(x.shape), x.stride(), x.dtype, once is not None, shapes)
        bound = bind(cell, plan, x, signature)
        kernel = bound[1] if bound else None
        plan.keep(key, kernel)
    if kernel is None or torch._C._are_functorch_transforms_active():
        return reference.run(cell, x, state, named)
    n = len(states)
    if last:
        s, *finals = Fused.apply(kernel, n, True, x if once is None else once, *states, *coefficients)
        return s, dict(zip(cell.states, finals, strict=True))
    return Fused.apply(kernel, n, False, x if once is None else once, *states, *coefficients), {}


def _plain(value: Tensor) -> Tensor:
    if value.dtype is not torch.float32:
        value = value.float()
    return value if value.is_contiguous() else value.contiguous()


def _origin(x: Tensor) -> Tensor | None:
    """The tensor that x repeats over time, if autograd can be told to skip the repetition; else None."""
    if x.stride(0) or x.shape[0] == 1:
        return None
    base = x._base
    if (
        base is None
        or (x.requires_grad and (x.is_leaf or not base.requires_grad))
        or x.retains_grad
        or x._backward_hooks
        or base.dim() != x.dim() - 1
        or base.shape != x.shape[1:]
        or base.dtype is not x.dtype
        or base.data_ptr() != x.data_ptr()
        or not same_frames(tuple(base.shape), base.stride(), x.stride()[1:])
    ):
        return None
    return base if x.requires_grad else base.detach()
