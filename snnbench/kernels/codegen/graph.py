"""A step as a small graph: one node per scalar operation, equal nodes shared."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

Argument = "Node | float | int | bool | str | None"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operation on scalars. `dtype` is "float" or "bool"; `index` is its place in the order of the trace."""

    index: int
    op: str
    args: tuple[Node | float | int | bool | str | None, ...]
    dtype: str

    @property
    def inputs(self) -> Iterator[Node]:
        return (a for a in self.args if isinstance(a, Node))


class Graph:
    """Nodes in the order in which they were first asked for; the same operation on the same values is one node."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Node] = {}

    def node(self, op: str, args: tuple[Node | float | int | bool | str | None, ...], dtype: str) -> Node:
        key = (op, dtype, *(a.index if isinstance(a, Node) else (type(a), repr(a)) for a in args))
        if key not in self._known:
            self._known[key] = Node(len(self._known), op, args, dtype)
        return self._known[key]

    def constant(self, value: float, dtype: str = "float") -> Node:
        return self.node("constant", (bool(value) if dtype == "bool" else float(value),), dtype)


def needed(outputs: Iterable[Node], given: Iterable[Node] = ()) -> list[Node]:
    """The nodes that `outputs` depend on, in trace order, without those that are `given` and what is behind them."""
    given_nodes = set(given)
    found: set[Node] = set()
    stack = [node for node in outputs if node not in given_nodes]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack += [a for a in node.inputs if a not in given_nodes]
    return sorted(found, key=lambda node: node.index)
