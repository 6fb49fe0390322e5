"""A neuron's kernels without their host code: on tensors that are there already, beside a copy and an addition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from baselines import Case, fused_engines
from timing import copier

from snnbench.errors import UserError
from snnbench.kernels.engines.base import FrameKernel
from snnbench.kernels.engines.registry import engine_called
from snnbench.kernels.engines.signature import Signature
from snnbench.kernels.plans import plan_of

TENSORS = {"copy": 2, "forward": 2, "read2write1": 3, "backward": 3}
"""How many tensors like x each of `kernel_steps` has to read and write."""


def kernel_steps(case: Case) -> dict[str, Callable[[], Any]]:
    """Forward and backward as a training step asks for them, and what moves as many bytes: a copy, a sum of two.

    Raises:
        UserError: the case's neuron has no kernel that can be launched so.
    """
    engine = fused_engines(case.device)[0]
    layer, x = case.build(engine), case.input()
    coefficients = tuple(layer.coefficients().values())
    wanted = tuple(value.requires_grad for value in coefficients)
    coefficients = tuple(value.detach() for value in coefficients)
    plan = plan_of(layer)
    if plan.program is None:
        raise UserError(f"{case.neuron}: {plan.obstacle}")
    shapes = tuple(tuple(value.shape) for value in coefficients)
    kernel = engine_called(engine).kernel(plan.program, Signature(tuple(x.shape), x.stride(), x.dtype, False, shapes))
    if not isinstance(kernel, FrameKernel):
        raise UserError(f"the kernels of engine={engine} cannot be launched without their host code")
    kernel.prepare(x.device, wanted)
    none: tuple[None, ...] = (None,) * len(layer.states)
    s, gx, out = (torch.empty_like(x) for _ in range(3))
    g = case.noise(1).to(case.dtype)  # the default generator may not outlive another capture that failed
    return {
        "copy": copier(x),
        "forward": lambda: kernel.launch_forward(x, None, none, coefficients, s, none),
        "read2write1": lambda: torch.add(x, g, out=out),
        "backward": lambda: kernel.launch_backward(x, None, none, coefficients, g, none, gx, none, wanted),
    }
