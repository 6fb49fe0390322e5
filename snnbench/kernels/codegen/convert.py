"""torch.fx graph -> `Graph`: in-place operations and aliases resolved, dtypes checked, constants folded in."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.kernels.cell import Cell, Unfusable
from snnbench.kernels.codegen.graph import Graph, Node
from snnbench.kernels.codegen.ops import OPS

_DTYPES = {torch.float32: "float", torch.bool: "bool"}
_SAME = {"alias", "detach", "detach_", "view", "_unsafe_view", "reshape", "expand", "squeeze", "lift_fresh", "_to_copy"}
_COPIES = {"clone", "lift_fresh_copy"}
_CONSTANTS = {
    "zeros_like": 0.0,
    "_efficientzerotensor": 0.0,
    "ones_like": 1.0,
    "zeros": 0.0,
    "ones": 1.0,
    "new_zeros": 0.0,
    "new_ones": 1.0,
}
_CONSTANTS |= {"empty_like": math.nan, "new_empty": math.nan}  # to be filled by the next operation
_FILLS = {"full_like": 1, "full": 1, "new_full": 2, "scalar_tensor": 0}


class _Box:
    """What a name stands for; names that alias each other share one, so an in-place operation reaches them all."""

    def __init__(self, node: Node, is_input: bool = False) -> None:
        self.node, self.is_input = node, is_input


class _Boxes(dict[torch.fx.Node, _Box]):
    """What each name of a graph stands for. The gradients given come into being when the first one is used."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.late = graph, {}  # type: ignore[var-annotated]

    def __missing__(self, name: torch.fx.Node) -> _Box:
        for other, label in self.late.items():
            self[other] = _Box(self.graph.node("input", label, "float"), is_input=True)
        return self[name]


class Converter:
    """Converts the graphs of one cell into one `Graph`, so that what they have in common is shared."""

    def __init__(self, graph: Graph, name: str, cell: Cell, where: Callable[[str], str]) -> None:
        self.graph, self.name, self.cell, self.where = graph, name, cell, where

    def __call__(self, module: torch.fx.GraphModule, labels: list[tuple[str, int]]) -> list[Node]:
        """The output nodes of `module`, whose inputs are named by `labels`, in order."""
        names = iter(labels)
        module.graph.eliminate_dead_code()  # such as a parametrization whose parameter the step only looks for
        boxes = _Boxes(self.graph)
        for node in module.graph.nodes:
            if node.op == "placeholder":
                label = next(names)
                if label[0] in ("gs", "gv"):
                    boxes.late[node] = label
                else:
                    boxes[node] = _Box(self.graph.node("input", label, "float"), is_input=True)
            elif node.op == "get_attr":
                boxes[node] = _Box(self.captured(getattr(module, node.target)))
            elif node.op == "call_function":
                boxes[node] = self._call(node, boxes)
            elif node.op == "output":
                leaves = torch.utils._pytree.tree_leaves(node.args[0])
                zero = self.graph.constant
                return [self._float(zero(0.0) if leaf is None else boxes[leaf].node) for leaf in leaves]
        raise AssertionError("a graph without output")

    def _float(self, node: Node) -> Node:
        if node.dtype != "float":
            raise Unfusable(f"{self.name}.step returns a {node.dtype}; spikes and states must be floating point")
        return node

    def captured(self, value: Tensor) -> Node:
        kinds: list[tuple[str, Any]] = []
        if isinstance(self.cell, nn.Module):
            kinds = [("parameter", self.cell.named_parameters()), ("buffer", self.cell.named_buffers())]
        for kind, named in kinds:
            for key, tensor in named:
                if tensor is value or tensor.data_ptr() == value.data_ptr():
                    raise Unfusable(
                        f"{self.name}.step uses the {kind} {key!r} from self{self._where_used(key)}; "
                        "return it from coefficients() and take it from c"
                    )
        if value.dim() or value.requires_grad or value.dtype not in _DTYPES:
            raise Unfusable(
                f"{self.name}.step uses a tensor {list(value.shape)} that is neither an input nor a coefficient; "
                "return it from coefficients() and take it from c"
            )
        return self.graph.constant(value.item(), _DTYPES[value.dtype])

    def _where_used(self, key: str) -> str:
        code = getattr(type(self.cell).step, "__code__", None)
        return f" ({code.co_filename}:{code.co_firstlineno})" if code else ""

    def _call(self, node: torch.fx.Node, boxes: dict[torch.fx.Node, _Box]) -> _Box:
        op: Any = node.target
        full = str(op)
        library, name, overload = [*full.split("."), "", ""][:3]
        if not isinstance(op, torch._ops.OpOverload) or library not in ("aten", "prims"):
            raise Unfusable(f"{self.name}.step calls {full}, which has no kernel")
        dtype = self._dtype(node, full)
        given = _positional(op, node)
        values = [boxes[a].node if isinstance(a, torch.fx.Node) else a for a in given]
        if name in _SAME and len(values) and isinstance(values[0], Node) and values[0].dtype == dtype:
            return boxes[given[0]]
        if op._schema.is_mutable:
            box = boxes[given[0]]
            if box.is_input:
                line = self.where(full)
                raise Unfusable(f"{self.name}.step{line} changes an input in place ({full}); return a new tensor")
            box.node = self._apply(name.removesuffix("_"), overload, values, box.node.dtype, full)
            return box
        return _Box(self._apply(name, overload, values, dtype, full))

    def _dtype(self, node: torch.fx.Node, full: str) -> str:
        value = node.meta.get("val")
        if not isinstance(value, Tensor) or value.dtype not in _DTYPES or value.dim():
            kind = f"{value.dtype} {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise Unfusable(f"{self.name}.step{self.where(full)}: {full} gives {kind}; kernels know float32 and bool")
        return _DTYPES[value.dtype]

    def _apply(self, name: str, overload: str, values: list[Any], dtype: str, full: str) -> Node:
        if name in _CONSTANTS:
            return self.graph.constant(_CONSTANTS[name], dtype)
        if name in _FILLS and not isinstance(values[_FILLS[name]], Node):
            return self.graph.constant(values[_FILLS[name]], dtype)
        if name in _COPIES and values[0].dtype == dtype:
            return values[0]
        if name in ("copy", "fill"):
            return self._cast(values[1], dtype)
        if name == "zero":
            return self.graph.constant(0.0, dtype)
        if name == "_to_copy":
            return self._cast(values[0], dtype)
        key = name if name in OPS else f"{name}.{overload}"
        if key not in OPS:
            raise Unfusable(f"{self.name}.step{self.where(full)}: {full} has no kernel")
        rule = OPS[key]
        if dtype != rule.gives:
            raise Unfusable(f"{self.name}.step{self.where(full)}: {full} of {dtype}s has no kernel")
        paired = list(zip(rule.kinds, values, strict=False))
        kinds = {"f": "float", "b": "bool"}
        inputs = [v if kind == "r" or v is None else self._cast(v, kinds[kind]) for kind, v in paired]
        if any(kind == "r" and isinstance(v, Node) for kind, v in paired):
            raise Unfusable(f"{self.name}.step{self.where(full)}: {full} with a tensor as a scale has no kernel")
        if key == "mul" and self.graph.constant(1.0) in inputs:
            return inputs[1] if inputs[0] is self.graph.constant(1.0) else inputs[0]
        return self.graph.node(key, tuple(inputs), dtype)

    def _cast(self, value: Any, dtype: str) -> Node:
        if not isinstance(value, Node):
            return self.graph.constant(value, dtype)
        if value.dtype == dtype:
            return value
        if value.op == "constant":
            return self.graph.constant(value.args[0], dtype)  # type: ignore[arg-type]
        return self.graph.node("to_float" if dtype == "float" else "to_bool", (value,), dtype)


def _positional(op: Any, node: torch.fx.Node) -> list[Any]:
    """All arguments in the schema's order, defaults filled in."""
    rest = op._schema.arguments[len(node.args) :]
    return [*node.args, *(node.kwargs.get(argument.name, argument.default_value) for argument in rest)]
