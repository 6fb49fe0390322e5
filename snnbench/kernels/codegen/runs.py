"""What tracing needs around the runs of a step: lines, graphs cut short, watchers of its operations."""

from __future__ import annotations

import functools
import threading
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from snnbench.kernels.reads import Stop

_OWN = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))


def reshapes(node: torch.fx.Node) -> bool:
    """Whether an operation of the graph does with one shape what it may not do with another."""
    return getattr(node.target, "_opname", "") in ("view", "reshape", "_unsafe_view", "expand", "squeeze", "squeeze_")


def leave_step(graph: torch.fx.GraphModule, outputs: int, inputs: int) -> None:
    """Take the derivative out of a graph: all from where it first uses a gradient, which only numbers fit."""
    nodes = list(graph.graph.nodes)
    given = {user for node in nodes[inputs:] if node.op == "placeholder" for user in node.users}
    start = next((number for number, node in enumerate(nodes) if node in given), len(nodes) - 1)
    nodes[-1].args = (nodes[-1].args[0][:outputs],)
    for node in reversed(nodes[start:-1]):
        graph.graph.erase_node(node)
    graph.recompile()


def line_of(trace_back: TracebackType | None) -> str:
    frames = [f for f in traceback.extract_tb(trace_back) if not f.filename.startswith(_OWN)]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


class NoDraws(TorchDispatchMode):
    """Stops before a random number is drawn, so that generators stay as they are."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise Stop(f"draws random numbers with {func}, which no kernel does")
        return func(*args, **(kwargs or {}))


class Finder(TorchDispatchMode):
    """Remembers the source line of the first call of one operation."""

    def __init__(self, op: str) -> None:
        super().__init__()
        self.op, self.found = op, ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if str(func) == self.op and not self.found:
            frames = [f for f in traceback.extract_stack() if not f.filename.startswith(_OWN)]
            self.found = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
        return func(*args, **(kwargs or {}))


@functools.cache
def keep_device_guard() -> None:
    """See to it that threads which have traced may end.

    Where there is no GPU, the first FakeTensorMode of a process puts a device guard in the place of CUDA's. That of
    PyTorch 2.11 goes with the thread that made it, and whoever asks for it then crashes. Later ones are left alone:
    with a guard of their own, autograd starts threads for devices, and a child by fork can no longer differentiate.
    """
    make = getattr(torch._C, "_ensureCUDADeviceGuardSet", None)
    if make is None or not torch.__version__.startswith("2.11.") or torch.cuda.is_available():
        return
    if threading.current_thread() is threading.main_thread():
        make()
        return
    made = threading.Event()

    def last() -> None:
        make()
        made.set()
        threading.Event().wait()

    threading.Thread(target=last, name="device guard", daemon=True).start()
    made.wait()
