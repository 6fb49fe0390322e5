"""The stages, in the order in which they run, and what is missing for one here."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of the report.

    Attributes:
        name: of the stage, and of its file.
        about: what it finds, in a line.
        module: has `run(record)`.
        seconds: that it may take at most; beside others, its share of a budget.
        packages, tools: what it needs; it is left out where one is missing.
        device: whether it needs a GPU.
        gate: whether nothing may be timed where it is red.
    """

    name: str
    about: str
    module: str
    seconds: float
    packages: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    device: bool = True
    gate: bool = False


STAGES = (
    Stage("doctor", "versions, engines, bandwidth", "on_gpu.doctor", 45, device=False, gate=True),
    Stage("kernels", "kernels alone, beside a copy", "on_gpu.kernels", 150, gate=True),
    Stage("step", "whole training steps, and their peak memory", "on_gpu.step", 180),
)


def missing(stage: Stage, has_device: bool) -> str:
    """Why the stage cannot run here; "" if it can."""
    lacks = [name for name in stage.packages if importlib.util.find_spec(name) is None]
    lacks += [name for name in stage.tools if shutil.which(name) is None]
    if lacks:
        return f"without {', '.join(lacks)}"
    return "" if has_device or not stage.device else "without a GPU"
