"""Which engine runs a call: as asked for, or the fused one of x's device where there is one and it can."""

from __future__ import annotations

import functools
import importlib
import logging
from types import ModuleType

from torch import Tensor

from snnbench.errors import UserError
from snnbench.kernels.cell import Cell, NoEngine
from snnbench.kernels.engines.base import FrameKernel
from snnbench.kernels.engines.signature import IO, Signature
from snnbench.kernels.plans import Plan

_log = logging.getLogger("snnbench.kernels")
_FUSED = ("cpu", "cuda")


@functools.cache
def engine(device: str) -> ModuleType | str:
    """The fused engine of a kind of device, or the reason why there is none."""
    if device not in _FUSED:
        return f"there is no fused engine for {device}"
    try:
        module = importlib.import_module(f"snnbench.kernels.engines.{device}")
        module.check()
    except NoEngine as error:
        return str(error)
    return module


def bind(cell: Cell, plan: Plan, x: Tensor, signature: Signature) -> FrameKernel | None:
    """The kernel for a call, or None for the reference engine.

    Raises:
        UserError: the neuron's `engine` is "cpu" or "cuda" and cannot run this call.
    """
    asked, device = cell.engine, x.device.type
    if asked == "reference":
        return None
    reason, loud = _obstacle(cell, plan, x)
    if not reason:
        try:
            module = engine(device)
            if isinstance(module, ModuleType):
                kernel: FrameKernel = module.Kernel(plan.program, signature)
                kernel.prepare()
                _tell(logging.INFO, f"neurons on {device}: {module.describe()}")
                return kernel
            reason = module
        except NoEngine as error:
            reason = str(error)
    if asked != "auto":
        raise UserError(f"engine={asked}: {reason}. Use engine=auto or engine=reference.")
    _tell(logging.WARNING if loud else logging.INFO, f"{type(cell).__name__}: reference engine, because {reason}")
    return None


def _obstacle(cell: Cell, plan: Plan, x: Tensor) -> tuple[str, bool]:
    """Why no kernel can run this call ("" if one can), and whether the user should be warned of it."""
    device = x.device.type
    if cell.engine in _FUSED and cell.engine != device:
        return f"the input is on {device}", True
    declared = getattr(cell, "not_fusable", None)
    if declared:
        return str(declared), False
    if x.dtype not in IO:
        return f"kernels compute in float32, and x is {str(x.dtype).removeprefix('torch.')}", False
    if device not in _FUSED:
        return f"there is no fused engine for {device}", False
    return plan.obstacle, True


@functools.cache
def _tell(level: int, message: str) -> None:
    """Log a message, once in a process."""
    _log.log(level, message)
