"""A program's gradients as a GPU computes them: products and sums in one rounding, inverses by its own instruction.

What spikes and states depend on stays as it is, so that the backward repeats the forward bit for bit. Of the rest
nothing is decided: an error of a unit in the last place is one of the gradient alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Collection
from typing import Any

from snnbench.kernels.codegen.graph import Graph, Node, needed
from snnbench.kernels.codegen.program import Program

_NEVER_NEGATIVE = {"abs", "exp", "relu", "sigmoid", "sqrt", "to_float"}


def loosened(program: Program, wanted: Collection[int]) -> Program:
    """`program` with other gradients, of the coefficients those that are `wanted`.

    That of coefficient i is added to the input ("a", i), a sum over neurons and time.
    """
    return _Loosened(program, wanted).program


class _Loosened:
    def __init__(self, program: Program, wanted: Collection[int]) -> None:
        sums = [node for i, node in enumerate(program.grad_coefficients) if i in wanted]
        gradients = [program.grad_x, *program.grad_states, *sums]
        exact = needed([program.spikes, *program.next_states])
        nodes = needed([*exact, *gradients])
        self.graph = Graph()
        self.new: dict[Node, Node] = {}
        self.free = set(nodes) - set(exact)
        self.old = program.grad_coefficients
        self.uses = Counter(a for node in self.free for a in node.inputs) + Counter(gradients)
        for node in nodes:
            args = tuple([self.new[a] if isinstance(a, Node) else a for a in node.args])
            loose = self._loose(node, args) if node in self.free else None
            self.new[node] = loose or self.graph.node(node.op, args, node.dtype)
        self.program = dataclasses.replace(
            program,
            spikes=self.new[program.spikes],
            next_states=tuple([self.new[node] for node in program.next_states]),
            grad_x=self.new[program.grad_x],
            grad_states=tuple([self.new[node] for node in program.grad_states]),
            grad_coefficients=tuple([self._added(i, i in wanted) for i in range(len(program.coefficients))]),
        )

    def _node(self, op: str, *args: Any) -> Node:
        return self.graph.node(op, args, "float")

    def _loose(self, node: Node, args: tuple[Any, ...]) -> Node | None:
        """What stands for `node`, whose arguments became `args`; None where it stays what it is."""
        if node.op in ("sigmoid_backward", "tanh_backward"):
            g, y = args
            end = y if node.op == "sigmoid_backward" else self.graph.constant(1.0)
            return self._node("mul", g, self._node("fma", self._node("neg", y), y, end))
        if node.op == "tanh":
            return self._node("near_tanh", args[0])
        if node.op == "reciprocal":
            return self._quotient(self.graph.constant(1.0), args[0])
        if node.op in ("div.Tensor", "div.Scalar"):
            return self._quotient(*args)
        if node.op in ("add", "sub") and args[2:] in ((), (1,)):
            return self._contracted(node.args[0], node.args[1], args, node.op == "sub")
        return None

    def _quotient(self, a: Node, b: Node) -> Node:
        if 1e-30 < abs(_constant(b)) < 1e30:
            return self._node("mul", a, self.graph.constant(1 / _constant(b)))
        if not _at_least_one(b):
            return self._node("quotient", a, b)
        inverse = self._node("inverse", b)
        return inverse if a is self.graph.constant(1.0) else self._node("mul", a, inverse)

    def _contracted(self, a: Any, b: Any, args: tuple[Any, ...], minus: bool) -> Node | None:
        """a + b or a - b, which became `args`, in one rounding where one of them is a product."""
        if (product := self._product(a)) is not None:
            return self._node("fma", *product, self._node("neg", args[1]) if minus else args[1])
        if (product := self._product(b)) is not None:
            x, y = product
            return self._node("fma", self._node("neg", x) if minus else x, y, args[0])
        return None

    def _product(self, node: Node) -> tuple[Any, Any] | None:
        """The factors of a gradient that is used but once."""
        if node not in self.free or self.uses[node] != 1:
            return None
        new = self.new[node]
        if new.op == "neg" and (inner := self._product(node.args[0])) is not None:  # type: ignore[arg-type]
            return self._node("neg", inner[0]), inner[1]
        return new.args if new.op == "mul" else None  # type: ignore[return-value]

    def _added(self, i: int, wanted: bool) -> Node:
        """The sum for coefficient i with its gradient."""
        if not wanted:
            return self.graph.constant(0.0)
        gradient, total = self.old[i], self._node("input", "a", i)
        product = self._product(gradient)
        return self._node("fma", *product, total) if product else self._node("add", total, self.new[gradient])


def _at_least_one(node: Node) -> bool:
    """Whether it is a sum of 1 or more and of what is never negative."""
    if node.op == "fma":
        x, y, one = node.args
        return x is y and _constant(one) >= 1
    if node.op != "add" or node.args[2:] not in ((), (1,)):
        return False
    a, b = node.args[:2]
    return (_constant(a) >= 1 and _never_negative(b)) or (_constant(b) >= 1 and _never_negative(a))


def _constant(node: Any) -> float:
    """Its value, or NaN where it has none of its own."""
    return float(node.args[0]) if node.op == "constant" else math.nan


def _never_negative(node: Any) -> bool:
    if node.op in ("add", "mul") and node.args[2:] in ((), (1,)):
        a, b = node.args[:2]
        return (node.op == "mul" and a is b) or (_never_negative(a) and _never_negative(b))
    return node.op in _NEVER_NEGATIVE or _constant(node) >= 0
