"""What a traced step is to those that print it."""

from __future__ import annotations

import dataclasses

from snnbench.kernels.codegen.graph import Node


@dataclasses.dataclass(frozen=True)
class Program:
    """A traced step. Inputs are nodes with op "input" and args ("x", 0), ("v", i), ("c", i), ("gs", 0) or ("gv", i).

    `residual` says whether there is another one, ("r", 0), shaped like x: see normed.py. `connected` says of x, each
    state and each coefficient whether autograd finds a way from it to any output.
    """

    name: str
    states: tuple[str, ...]
    coefficients: tuple[str, ...]
    per_step: tuple[bool, ...]
    spikes: Node
    next_states: tuple[Node, ...]
    grad_x: Node
    grad_states: tuple[Node, ...]
    grad_coefficients: tuple[Node, ...]
    connected: tuple[bool, ...]
    residual: bool = False
