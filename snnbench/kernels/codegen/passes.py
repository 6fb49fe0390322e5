"""What of a call is fixed when its kernel is compiled, and the parts of a program that both targets print."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from snnbench.kernels.codegen.graph import Node, needed
from snnbench.kernels.codegen.ops import EXPENSIVE, statements, value
from snnbench.kernels.codegen.program import Program

WORTH, DEAR = 3, 16
"""A value is kept from the replay for the gradients if that spares so many operations, beyond ROOM so many."""
ROOM = 128
"""So many vectors of states and kept values over time stay in the first-level cache."""
MANY = 32
"""The number of timesteps that a kernel of any number is made for."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """Attributes:
    steps: T, or 0 for a kernel of any T.
    io: "float", "half" or "bfloat": what x and the spikes are stored as.
    static: whether x is the same at every timestep.
    channelled: of each coefficient, whether it has one value per channel.
    wanted: of each coefficient, whether its gradient is needed.
    period: whether neighbouring neurons have different channels (see Layout).
    """

    steps: int
    io: str
    static: bool
    channelled: tuple[bool, ...]
    wanted: tuple[bool, ...]
    period: bool

    def slots(self, program: Program) -> list[tuple[int, int]]:
        """The sums that a backward makes: (coefficient, timestep), the timestep being 0 where there is but one.

        For any T, that of timestep 0 stands for those of all.
        """
        return [
            (i, t)
            for i, per_step in enumerate(program.per_step)
            if self.wanted[i]
            for t in range((self.steps or 1) if per_step else 1)
        ]


@dataclasses.dataclass(frozen=True)
class Sweeps:
    """The three straight-line programs of a kernel, as nodes.

    Attributes:
        forward: computes the spikes and the next states.
        replay: computes the next states, and of it what is worth keeping for `reverse`.
        kept: these nodes.
        reverse: computes the gradients, given the states before the timestep and `kept`.
    """

    forward: list[Node]
    replay: list[Node]
    kept: list[Node]
    reverse: list[Node]


def sweeps(program: Program, variant: Variant) -> Sweeps:
    """Cut `program` into what each pass over time has to compute."""
    replay = needed(program.next_states)
    gradients = [program.grad_x, *program.grad_states, *wanted(program.grad_coefficients, variant)]
    candidates = [n for n in replay if n.op != "input" and n.dtype == "float" and _varies(n)]
    kept = _worth_keeping(candidates, gradients, ROOM // (variant.steps or MANY))
    return Sweeps(
        forward=needed([program.spikes, *program.next_states]),
        replay=replay,
        kept=kept,
        reverse=needed(gradients, given=kept),
    )


def _worth_keeping(candidates: Sequence[Node], outputs: Sequence[Node], room: int) -> list[Node]:
    """Those of `candidates` that spare enough work for `outputs`, the best first; `room` is that of a timestep."""
    kept: list[Node] = []
    total = _work(needed(outputs))
    while True:
        rest = {n: needed(outputs, given=[*kept, n]) for n in candidates if n not in kept}
        best = min(rest, key=lambda n: _work(rest[n]), default=None)
        if best is None:
            break
        states = sum(n.op == "input" and n.args[0] == "v" for n in rest[best])
        spared = total - _work(rest[best])
        if spared < (WORTH if len(kept) + 1 + states <= room else DEAR):
            break
        kept.append(best)
        total -= spared
    return sorted(kept, key=lambda node: node.index)


def _work(nodes: Sequence[Node]) -> int:
    """About how many machine operations they are; what turns a mask into 0 and 1 becomes part of the next one."""
    free = ("input", "constant", "to_float")
    return sum(DEAR if n.op in EXPENSIVE else n.op not in free for n in nodes)


def wanted(items: Sequence[Node], variant: Variant) -> list[Node]:
    """The items of the coefficients whose gradients are needed."""
    return [item for item, want in zip(items, variant.wanted, strict=True) if want]


def _varies(node: Node) -> bool:
    return any(n.op == "input" and n.args[0] in ("x", "v", "r") for n in needed([node]))


def split(
    nodes: Sequence[Node], early: set[int], per_step: Sequence[bool]
) -> tuple[list[Node], list[Node], list[Node]]:
    """`nodes` by how often they must be computed: once, at every timestep, for every neuron.

    `early` are the coefficients known before the neurons are looked at.
    """
    level: dict[Node, int] = {}
    for node in nodes:
        if node.op == "input":
            kind, index = node.args[0], node.args[1]
            fixed = kind == "c" and index in early
            level[node] = (1 if per_step[index] else 0) if fixed else 2  # type: ignore[index]
        else:
            level[node] = max((level.get(a, 2) for a in node.inputs), default=0)
    return tuple([n for n in nodes if level[n] == i] for i in range(3))  # type: ignore[return-value]


def input_names(nodes: Sequence[Node]) -> dict[Node, str]:
    """x, r, v0, c1, gs, gv0, ...: what the loops call the inputs."""
    return {
        n: n.args[0] if n.args[0] in ("x", "r", "gs") else f"{n.args[0]}{n.args[1]}" for n in nodes if n.op == "input"
    }


class SweepText:
    """One pass over time as text, for a kernel's frame.

    Attributes:
        lines: the statements, in named parts: `SweepText(names, each=..., neuron=...)` has lines["each"].
        coefficients: the indices of those it uses.
        names: what the text calls each node.
    """

    def __init__(self, names: Mapping[Node, str], **parts: Sequence[Node]) -> None:
        self.names = dict(names)
        self.lines = {part: statements(nodes, self.names) for part, nodes in parts.items()}
        used = {n.args[1] for nodes in parts.values() for n in nodes if n.op == "input" and n.args[0] == "c"}
        self.coefficients = sorted(used)  # type: ignore[type-var]

    def value(self, node: Node) -> str:
        """What the text calls the value of `node`."""
        return value(node, self.names)
