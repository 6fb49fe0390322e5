"""Which engine runs a call: the one asked for, or the first of x's device that can be had and can run it."""

from __future__ import annotations

import dataclasses
import functools
import logging

import torch
from torch import Tensor

from snnbench.errors import UserError
from snnbench.kernels.cell import Cell, NoEngine
from snnbench.kernels.codegen.program import Program
from snnbench.kernels.engines.contract import Engine, Kernel
from snnbench.kernels.engines.registry import AUTO, REFERENCE, engine_called, engines_for, trouble
from snnbench.kernels.engines.signature import IO, Signature
from snnbench.kernels.plans import Plan

_log = logging.getLogger("snnbench.kernels")


@dataclasses.dataclass(slots=True)
class Bound:
    """A kernel for calls of one signature, and what it was made from.

    Attributes:
        key: the plan's.
        broken: its backward, or a part of its forward, could not be had: the reference runs from then on.
    """

    engine: Engine
    kernel: Kernel
    program: Program
    signature: Signature
    key: str
    broken: bool = False
    other: Kernel | None = None

    def moving(self) -> Kernel:
        """The kernel that gives the gradient of x at each timestep, also where x is constant over time."""
        if not self.signature.static:
            return self.kernel
        if self.other is None:
            self.other = self.engine.kernel(self.program, dataclasses.replace(self.signature, static=False))
        return self.other


def bind(
    cell: Cell, plan: Plan, x: Tensor, signature: Signature, wanted: tuple[bool, ...] | None = None
) -> tuple[Engine, Kernel] | None:
    """An engine and its kernel for a call, or None for the reference engine.

    Args:
        wanted: of which coefficients the call's backward will ask the gradients; None where no backward is to come.

    Raises:
        UserError: the neuron's `engine` names one that is not registered, or that cannot run this call.
    """
    asked, device = cell.engine, x.device.type
    if asked == REFERENCE:
        return None
    engines = engines_for(device) if asked == AUTO else [engine_called(asked)]
    reason, loud = _obstacle(cell, plan, x, engines)
    if not reason:
        failures: dict[str, str] = {}
        for engine in engines:
            try:
                kernel = _ready(engine, plan, x.device, signature, wanted)
            except NoEngine as error:
                failures[engine.name] = str(error)
            else:
                instead = "".join(f" (not {name}: {why})" for name, why in failures.items())
                _tell(logging.INFO, f"neurons on {device}: {engine.describe()}{instead}")
                return engine, kernel
        reason = "; ".join(f"{name}: {why}" if len(failures) > 1 else why for name, why in failures.items())
    if asked != AUTO:
        raise UserError(f"engine={asked}: {reason}. Use engine=auto or engine=reference.")
    _tell(logging.WARNING if loud else logging.INFO, f"{type(cell).__name__}: reference engine, because {reason}")
    return None


def _obstacle(cell: Cell, plan: Plan, x: Tensor, engines: list[Engine]) -> tuple[str, bool]:
    """Why no kernel can run this call ("" if one can), and whether the user should be warned of it."""
    device = x.device.type
    if any(engine.device != device for engine in engines):
        return f"the input is on {device}", True
    declared = getattr(cell, "not_fusable", None)
    if declared:
        return str(declared), False
    if x.dtype not in IO:
        return f"kernels compute in float32, and x is {str(x.dtype).removeprefix('torch.')}", False
    if not engines:
        return f"there is no fused engine for {device}", False
    return plan.obstacle, True


def _ready(
    engine: Engine, plan: Plan, device: torch.device, signature: Signature, wanted: tuple[bool, ...] | None
) -> Kernel:
    """The engine's kernel, compiled for what is to come. Raises NoEngine where it cannot be had."""
    reason = trouble(engine.name)
    if reason:
        raise NoEngine(reason)
    assert plan.program is not None
    kernel = engine.kernel(plan.program, signature)
    kernel.prepare(device, wanted)
    return kernel


@functools.cache
def _tell(level: int, message: str) -> None:
    """Log a message, once in a process."""
    _log.log(level, message)
