"""A norm and the neuron behind it as one operation: z = y scale + shift (+ residual), made where the neuron reads it.

Forward: a pass of sums over y, then the neuron's kernel, which reads y and writes spikes. Backward: the neuron's kernel
makes z anew, writes its gradient, and sums it up for each channel; a last pass makes of it the gradient of y. Of y, z
and spikes only y is kept, and the residual where there is one.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from snnbench.kernels.bind import Bound, bind
from snnbench.kernels.bind import _tell as tell
from snnbench.kernels.cell import Cell, NoEngine, check_call
from snnbench.kernels.codegen.normed import NORM, normed
from snnbench.kernels.coefficients import coefficients_of
from snnbench.kernels.engines import reference
from snnbench.kernels.engines.registry import REFERENCE
from snnbench.kernels.engines.signature import Signature
from snnbench.kernels.fused import check_unchanged, float32
from snnbench.kernels.norms.alone import again, by_pytorch, suits
from snnbench.kernels.norms.norm import Norm, Place, differentiate, table
from snnbench.kernels.plain import plain, watched
from snnbench.kernels.plans import Plan, plan_of


@dataclasses.dataclass(slots=True)
class Call:
    """Of one call, what is no tensor."""

    bound: Bound
    alone: Plan
    cell: Cell
    norm: Norm
    place: Place
    repeats: int
    names: tuple[str, ...]
    """Of the neuron's coefficients."""

    def spikes(self, found: Tensor, y: Tensor, weight: Tensor, bias: Tensor, r: Tensor | None, *c: Tensor) -> Tensor:
        """What the two do, in PyTorch's operations."""
        z = by_pytorch(self.norm, found, y, weight, bias)
        z = z.expand(self.repeats, *z.shape[1:]) if self.repeats > 1 else z
        z = z if r is None else z + r
        return reference.run(self.cell, z, None, dict(zip(self.names, c, strict=True)))[0]


def run(cell: Cell, norm: Norm, y: Tensor, repeats: int = 1, residual: Tensor | None = None) -> Tensor | None:
    """The spikes of `cell` behind `norm`; None where the two must run one after the other.

    Args:
        cell: the neuron, which starts from zeros.
        norm: the norm.
        y: [T, B, C, ...], T = 1 where repeats > 1.
        repeats: for how many timesteps the one frame of y stands.
        residual: added behind the norm, [T, B, C, ...].
    """
    if cell.engine == REFERENCE or getattr(cell, "not_fusable", None) or not suits(y, norm):
        return None
    if residual is not None and (repeats > 1 or residual.shape != y.shape or residual.dtype is not y.dtype):
        return None
    named = coefficients_of(cell, y.device)
    if not plain(y.device, residual, *named.values()):
        return None
    place = Place(y, norm)
    x = y.expand(repeats, *y.shape[1:]) if repeats > 1 else y
    found = _bound(cell, x, named, place, residual is not None, repeats > 1)
    if found is None:
        return None
    if found[1].cuts:
        if not found[1].live(len(x), False)[0]:
            return None
        named = found[1].cut(x, None, named, False)[2]
    call = Call(*found, cell, norm, place, repeats, tuple(named))
    coefficients = [float32(value) for value in named.values()]
    s: Tensor = _Unit.apply(call, y, norm.weight, norm.bias, residual, *coefficients)
    return s


def _bound(
    cell: Cell, x: Tensor, named: dict[str, Tensor], place: Place, residual: bool, static: bool
) -> tuple[Bound, Plan] | None:
    """The kernel of the two together; None where there is none that has no other way."""
    alone = plan_of(cell, x, named)
    if alone.program is None:
        return None
    plan = alone.behind.get((place.parts > 1, residual))
    if plan is None:
        plan = Plan(normed(alone.program, per_step=place.parts > 1, residual=residual))
        alone.behind[place.parts > 1, residual] = plan
    shapes = (*[place.size] * len(NORM), *[tuple(value.shape) for value in named.values()])
    key = (x.shape, x.stride(), cell.engine, shapes)
    bound = plan.kernels.get(key, plan)
    if bound is plan:
        check_call(cell, x, None, named)
        signature = Signature(tuple(x.shape), x.stride(), x.dtype, static, shapes)
        found = bind(cell, plan, x, signature)
        bound = Bound(*found, plan.program, signature, plan.key) if found and plan.program else None
        plan.keep(key, bound)
    return None if bound is None or bound.broken else (bound, alone)


class _Unit(Function):
    """Saves y, the norm's parameters and table, the residual and the coefficients."""

    @staticmethod
    def forward(
        ctx: Any, call: Call, y: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, *coefficients: Tensor
    ) -> Tensor:
        found = table(call.norm, y, call.place)
        if True in ctx.needs_input_grad:
            ctx.call = call
            ctx.hooked = torch._C._autograd._top_saved_tensors_default_hooks(True) is not None
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(y, weight, bias, found, residual, *coefficients)
        x = y.expand(call.repeats, *y.shape[1:]) if call.repeats > 1 else y
        kernel, none = call.bound.kernel, (None,) * len(call.bound.program.states)
        s, _ = kernel.forward(x, none, (*found[: len(NORM)], *coefficients), False, residual)
        return s

    @staticmethod
    def backward(ctx: Any, gs: Tensor | None) -> Any:
        if gs is None:
            return (None,) * len(ctx.needs_input_grad)
        y, weight, bias, found, residual, *coefficients = ctx.saved_tensors
        call, need = ctx.call, ctx.needs_input_grad[1:]
        y = call.place.laid(y)
        kept = (y, found, residual, *coefficients)
        if (not ctx.hooked or plain(y.device, *kept)) and plain(y.device, gs):
            gradients = _by_kernel(call, *kept[:3], coefficients, gs, need)
            if gradients is not None:
                return (None, *gradients)
        named = dict(zip(call.names, coefficients, strict=True))
        check_unchanged(call.cell, call.alone.program, y.expand(call.repeats * len(y), *y.shape[1:]), named)
        given = (y, weight, bias, residual, *coefficients)
        order = lambda y, w, b, r, *c: call.spikes(found, y, w, b, r, *c)  # noqa: E731
        return (None, *again(order, given, need, gs))


def _by_kernel(
    call: Call,
    y: Tensor,
    found: Tensor,
    residual: Tensor | None,
    coefficients: list[Tensor],
    gs: Tensor,
    need: tuple[bool, ...],
) -> list[Tensor | None] | None:
    """The gradients of y, weight, bias, residual and coefficients; None if no kernel can give them."""
    bound = call.bound
    if bound.broken or torch.is_grad_enabled() or watched():
        return None
    none = (None,) * len(bound.program.states)
    wants_y, wants_weight, wants_bias, wants_residual, *wants = need
    wanted = (True, *[False] * len(none), False, True, True, *wants)
    x = y.expand(call.repeats, *y.shape[1:]) if call.repeats > 1 else y
    try:
        given = (*found[: len(NORM)], *coefficients)
        gz, _, (_, sums, moments, *others) = bound.kernel.backward(x, none, given, gs, none, wanted, residual)
    except (NoEngine, OSError) as error:
        bound.broken = True
        tell(logging.WARNING, f"{type(call.cell).__name__}: reference engine, because {error}")
        return None
    assert gz is not None
    assert sums is not None
    assert moments is not None
    gz = gz if gz.dim() == y.dim() else gz.unsqueeze(0)
    gy = None
    if wants_y:
        gy = torch.empty_like(gz) if wants_residual else gz
    norm = call.norm
    weight, bias = differentiate((norm.gain, norm.training), y, gz, gy, found, (sums, moments), call.place)
    first = [gy, weight if wants_weight else None, bias if wants_bias else None, gz if wants_residual else None]
    return [*first, *others]
