"""A norm and the neuron behind it as one operation: z = y scale + shift (+ residual), made where the neuron reads it.

Forward: a pass of sums over y, then the neuron's kernel, which reads y and writes spikes. Backward: the neuron's kernel
makes z anew, writes its gradient, and sums it up for each channel; a last pass makes of it the gradient of y. Of y, z
and spikes only y is kept, and the residual where there is one; of these only bits, where y is the output of a
convolution of spikes that remembers how it came about (memory=bits).
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from snnbench.kernels.bind import Bound, bind
from snnbench.kernels.bind import _tell as tell
from snnbench.kernels.cell import Cell, NoEngine, check_call
from snnbench.kernels.codegen.normed import NORM, normed
from snnbench.kernels.coefficients import coefficients_of
from snnbench.kernels.derivatives import differentiated
from snnbench.kernels.engines import reference
from snnbench.kernels.engines.base import FrameKernel
from snnbench.kernels.engines.registry import REFERENCE
from snnbench.kernels.engines.signature import Signature
from snnbench.kernels.fused import asked, check_unchanged, float32
from snnbench.kernels.norms.alone import by_pytorch, suits
from snnbench.kernels.norms.norm import Norm, Place, differentiate, table
from snnbench.kernels.plain import plain, watched
from snnbench.kernels.plans import Plan, plan_of
from snnbench.kernels.spikes.bits import Bits, pack
from snnbench.kernels.spikes.convolution import again


@dataclasses.dataclass(slots=True)
class Call:
    """Of one call, what is no tensor.

    Attributes:
        bound: the kernel of the two together.
        alone: the neuron's plan.
        names: of the neuron's coefficients.
        compute: makes y again, which is not kept then; else None.
        bits: of the residual, which is not kept then.
    """

    bound: Bound
    alone: Plan
    cell: Cell
    norm: Norm
    place: Place
    repeats: int
    names: tuple[str, ...]
    compute: Callable[[], Tensor] | None
    bits: Bits | None = None

    def spikes(
        self, found: Tensor, y: Tensor, weight: Tensor, bias: Tensor, r: Tensor | None, *c: Tensor
    ) -> list[Tensor]:
        """What the two do, in PyTorch's operations."""
        z = repeated(by_pytorch(self.norm, found, y, weight, bias), self.repeats)
        z = z if r is None else z + r
        return [reference.run(self.cell, z, None, dict(zip(self.names, c, strict=True)))[0]]


def repeated(y: Tensor, repeats: int) -> Tensor:
    """The one frame of y for as many timesteps, without a copy."""
    return y.expand(repeats, *y.shape[1:]) if repeats > 1 else y


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
    if repeats > 1 and len(y) != 1:
        return None
    if residual is not None and (repeats > 1 or residual.shape != y.shape or residual.dtype is not y.dtype):
        return None
    named = coefficients_of(cell, y.device)
    if not plain(y.device, residual, *named.values()):
        return None
    place = Place(y, norm)
    x = repeated(y, repeats)
    found = _bound(cell, x, named, place, (norm.weight, norm.bias, residual), repeats > 1)
    if found is None:
        return None
    if found[1].cuts:
        if not found[1].live(len(x), False)[0]:
            return None
        named = found[1].cut(x, None, named, False)[2]
    call = Call(*found, cell, norm, place, repeats, tuple(named), again(y) if y.is_cpu else None)
    coefficients = [float32(value) for value in named.values()]
    s: Tensor = _Unit.apply(call, y, norm.weight, norm.bias, residual, *coefficients)
    return s


def _bound(
    cell: Cell, x: Tensor, named: dict[str, Tensor], place: Place, others: tuple[Tensor | None, ...], static: bool
) -> tuple[Bound, Plan] | None:
    """The kernel of the two together, None where there is none; `others` are weight, bias and residual."""
    residual = others[-1] is not None
    alone = plan_of(cell, x, named)
    if alone.program is None:
        return None
    plan = alone.behind.get((place.parts > 1, residual))
    if plan is None:
        plan = Plan(normed(alone.program, per_step=place.parts > 1, residual=residual))
        alone.behind[place.parts > 1, residual] = plan
    shapes = (*[place.size] * len(NORM), *[tuple(value.shape) for value in named.values()])
    key = (x.shape, x.stride(), x.device, cell.engine, shapes)
    bound = plan.kernels.get(key, plan)
    if bound is plan:
        check_call(cell, x, None, named)
        signature = Signature(tuple(x.shape), x.stride(), x.dtype, static, shapes)
        wanted = asked(x, others, named.values())
        found = bind(cell, plan, x, signature, None if wanted is None else (False, True, True, *wanted))
        if found and residual and not isinstance(found[1], FrameKernel):
            found = None  # an engine of the user's, which may know of no residual
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
            if call.compute is not None and residual is not None:
                call.bits = pack(residual.flatten(0, 1))
            kept = (None if call.compute else y, None if call.bits else residual)
            ctx.save_for_backward(*kept, weight, bias, found, *coefficients)
        x = repeated(y, call.repeats)
        kernel, none = call.bound.kernel, (None,) * len(call.bound.program.states)
        beside = () if residual is None else (residual,)
        s, _ = kernel.forward(x, none, (*found[: len(NORM)], *coefficients), False, *beside)
        return s

    @staticmethod
    def backward(ctx: Any, gs: Tensor | None) -> Any:
        if gs is None:
            return (None,) * len(ctx.needs_input_grad)
        y, residual, weight, bias, found, *coefficients = ctx.saved_tensors
        call, need = ctx.call, ctx.needs_input_grad[1:]
        if call.compute is not None and torch.is_grad_enabled():
            raise RuntimeError("what was kept as bits has no second derivative; take memory=floats")
        y = call.place.laid(call.compute() if call.compute is not None else y)
        if call.bits is not None:
            residual = call.bits.unpack().unflatten(0, y.shape[:2])
        whole = not ctx.hooked or plain(y.device, y, found, residual, *coefficients)
        if whole and plain(y.device, gs):
            gradients = _by_kernel(call, y, found, residual, coefficients, gs, need)
            if gradients is not None:
                return (None, *gradients)
        named = dict(zip(call.names, coefficients, strict=True))
        check_unchanged(call.cell, call.alone.program, repeated(y, call.repeats), named)
        given = (y, weight, bias, residual, *coefficients)
        return (None, *differentiated(functools.partial(call.spikes, found), given, need, [gs]))


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
    x = repeated(y, call.repeats)
    try:
        given = (*found[: len(NORM)], *coefficients)
        beside = () if residual is None else (residual,)
        gz, _, (_, sums, moments, *others) = bound.kernel.backward(x, none, given, gs, none, wanted, *beside)
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
        gy = gz if not wants_residual else y if call.compute is not None else torch.empty_like(gz)
    gy, weight, bias = differentiate(call.norm, y, gz, gy, found, (sums, moments), call.place)
    first = [gy, weight if wants_weight else None, bias if wants_bias else None, gz if wants_residual else None]
    return [*first, *others]
