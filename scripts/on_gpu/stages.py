"""The stages, in the order in which they run, and what is missing for one here."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
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
        device: whether it needs a GPU; None if it does what it can without, False if it makes up for one.
        gate: whether nothing may be timed where it is red.
    """

    name: str
    about: str
    module: str
    seconds: float
    packages: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    device: bool | None = True
    gate: bool = False


PYTEST = ("pytest", "hypothesis")
NVRTC = ("cuda.bindings",)
SANITIZER = ("compute-sanitizer",)


STAGES = (
    Stage("doctor", "versions, engines, bandwidth", "on_gpu.doctor", 45, device=None, gate=True),
    Stage("tests", "the tests of the kernels", "on_gpu.suite", 150, PYTEST, device=None, gate=True),
    Stage("text", "registers and instructions of the kernels", "on_gpu.text", 120, NVRTC, device=False),
    Stage("sanitizer", "accesses outside memory, at odd sizes", "on_gpu.sanitizer", 75, (), SANITIZER, gate=True),
    Stage("kernels", "kernels alone, beside a copy", "on_gpu.kernels", 110, gate=True),
    Stage("step", "whole training steps, and their peak memory", "on_gpu.step", 240),
    Stage("rivals", "kernels beside SpikingJelly and torch.compile", "on_gpu.rivals", 120),
    Stage("counters", "what the hardware counts while a kernel runs", "on_gpu.counters", 60, (), ("ncu",)),
    Stage("training", "rows of papers, for a while", "on_gpu.training", 120, ("hydra", "omegaconf", "lightning")),
)


def missing(stage: Stage, has_device: bool) -> str:
    """Why the stage does not run here; "" if it does."""
    lacks = [name for name in stage.packages if not _installed(name)]
    lacks += [name for name in stage.tools if shutil.which(name, path=path()) is None]
    if lacks:
        return f"without {', '.join(lacks)}"
    if stage.device and not has_device:
        return "without a GPU"
    return "what runs on a GPU says more" if stage.device is False and has_device else ""


def path() -> str:
    """Where tools are looked for: $PATH, and where CUDA's lie."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/cuda/bin"])


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # of the package that it would lie in
        return False
