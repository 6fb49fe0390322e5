"""One C statement for each operation. The same text serves a CPU vector and a CUDA thread.

`V` is a number (or a vector of them), `M` a truth value (or a mask); both come with the functions used here from
the header of the target (vector.h, thread.h). The order of operations is PyTorch's, and fma3 stands only where
PyTorch's own CPU kernels use a fused multiply-add.
"""

from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from snnbench.kernels.codegen.graph import Node


@dataclasses.dataclass(frozen=True)
class Rule:
    """How to print an operation: `kinds` says of each argument whether it is a float, a bool, or printed raw."""

    kinds: str
    text: Callable[..., str]
    gives: str = "float"


def number(value: Any) -> str:
    """A float32 literal, exact."""
    value = float(value)
    if math.isnan(value):
        return "K(NOT_A_NUMBER)"
    try:
        value = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        value = math.copysign(math.inf, value)
    if math.isinf(value):
        return "K(INFINITE)" if value > 0 else "K(-INFINITE)"
    text = f"{value:.9g}"
    return f"K({text}f)" if any(c in text for c in ".e") else f"K({text}.0f)"


def _add(a: str, b: str, alpha: float = 1, sign: int = 1) -> str:
    if alpha == 1:
        return f"{a} + {b}" if sign > 0 else f"{a} - {b}"
    return f"fma3({b}, {number(sign * alpha)}, {a})"


def _pow(a: str, b: str) -> str:
    special = {
        number(2): f"{a} * {a}",
        number(3): f"{a} * {a} * {a}",
        number(0.5): f"vsqrt({a})",
        number(-0.5): f"{number(1)} / vsqrt({a})",
        number(-1): f"{number(1)} / {a}",
        number(-2): f"{number(1)} / ({a} * {a})",
        number(1): a,
        number(0): number(1),
    }
    return special.get(b, f"vpow({a}, {b})")


def _clamp(a: str, low: str | None = None, high: str | None = None) -> str:
    a = f"vmax({a}, {low})" if low is not None else a
    return f"vmin({a}, {high})" if high is not None else a


def _elu(a: str, alpha: float, scale: float, slope: float) -> str:
    return f"sel({a} <= {number(0)}, vexpm1({a} * {number(slope)}) * {number(alpha * scale)}, {a} * {number(scale)})"


def _elu_backward(g: str, alpha: float, scale: float, slope: float, is_result: bool, a: str) -> str:
    negative, inner = number(alpha * scale), number(slope)
    low = f"{g} * {inner} * ({a} + {negative})" if is_result else f"{g} * {inner} * {negative} * vexp({a} * {inner})"
    return f"sel({a} <= {number(0)}, {low}, {g} * {number(scale)})"


def _gelu(a: str, approximate: str = "none") -> str:
    if approximate == "tanh":
        inner = f"{number(math.sqrt(2 / math.pi))} * ({a} + {number(0.044715)} * ({a} * {a} * {a}))"
        return f"{number(0.5)} * {a} * ({number(1)} + vtanh({inner}))"
    return f"{a} * {number(0.5)} * ({number(1)} + verf({a} * {number(math.sqrt(0.5))}))"


def _gelu_backward(g: str, a: str, approximate: str = "none") -> str:
    if approximate == "tanh":
        root, cubic = math.sqrt(2 / math.pi), 0.044715
        y = f"vtanh({number(root)} * ({a} + {number(cubic)} * ({a} * {a} * {a})))"
        slope = f"{number(root)} * ({number(1)} + {number(3 * cubic)} * ({a} * {a}))"
        return (
            f"{g} * ({number(0.5)} * ({number(1)} + {y}) + {number(0.5)} * {a} * ({number(1)} - {y} * {y}) * {slope})"
        )
    cdf = f"{number(0.5)} * ({number(1)} + verf({a} * {number(math.sqrt(0.5))}))"
    density = f"vexp({a} * {a} * {number(-0.5)}) * {number(1 / math.sqrt(2 * math.pi))}"
    return f"{g} * ({cdf} + {a} * ({density}))"


def _softplus(a: str, beta: float, threshold: float) -> str:
    z = f"({a} * {number(beta)})"
    return f"sel({z} > {number(threshold)}, {a}, vlog1p(vexp({z})) / {number(beta)})"


def _softplus_backward(g: str, a: str, beta: float, threshold: float) -> str:
    z = f"vexp({a} * {number(beta)})"
    return f"sel({a} * {number(beta)} > {number(threshold)}, {g}, {g} * {z} / ({z} + {number(1)}))"


def _leaky_relu_backward(g: str, a: str, slope: float, is_result: bool) -> str:
    return f"sel({a} > {number(0)}, {g}, {g} * {number(slope)})"


def _lerp(a: str, b: str, w: str) -> str:
    far = f"fma3({w} - {number(1)}, {b} - {a}, {b})"
    return f"sel(vabs({w}) < {number(0.5)}, fma3({w}, {b} - {a}, {a}), {far})"


def _sign(a: str) -> str:
    return f"sel({a} > {number(0)}, {number(1)}, sel({a} < {number(0)}, {number(-1)}, {number(0)}))"


def _hard_sigmoid(a: str) -> str:
    return f"vmin(vmax({a} + {number(3)}, {number(0)}), {number(6)}) / {number(6)}"


def _hard_swish_backward(g: str, a: str) -> str:
    middle = f"{g} * ({a} / {number(3)} + {number(0.5)})"
    return f"sel({a} <= {number(-3)}, {number(0)}, sel({a} < {number(3)}, {middle}, {g}))"


def _inside(g: str, a: str, low: float, high: float, scale: float = 1.0) -> str:
    value = g if scale == 1 else f"{g} * {number(scale)}"
    return f"sel(both({a} > {number(low)}, {a} < {number(high)}), {value}, {number(0)})"


def _unary(function: str) -> Rule:
    return Rule("f", lambda a: f"{function}({a})")


def _compare(sign: str) -> Rule:
    return Rule("ff", lambda a, b: f"{a} {sign} {b}", gives="bool")


def _logic(function: str) -> Rule:
    return Rule("bb", lambda a, b: f"{function}({a}, {b})", gives="bool")


OPS: dict[str, Rule] = {
    "add": Rule("ffr", _add),
    "sub": Rule("ffr", lambda a, b, alpha=1: _add(a, b, alpha, -1)),
    "rsub": Rule("ffr", lambda a, b, alpha=1: _add(b, a, alpha, -1)),
    "mul": Rule("ff", lambda a, b: f"{a} * {b}"),
    "div.Tensor": Rule("ff", lambda a, b: f"{a} / {b}"),
    "div.Scalar": Rule("ff", lambda a, b: f"{a} / {b}"),
    "neg": Rule("f", lambda a: f"-{a}"),
    "reciprocal": Rule("f", lambda a: f"{number(1)} / {a}"),
    "rsqrt": Rule("f", lambda a: f"{number(1)} / vsqrt({a})"),
    "pow": Rule("ff", _pow),
    "addcmul": Rule("fffr", lambda a, b, c, value=1: f"fma3({number(value)} * {b}, {c}, {a})"),
    "addcdiv": Rule("fffr", lambda a, b, c, value=1: f"{a} + {number(value)} * {b} / {c}"),
    "lerp": Rule("fff", _lerp),
    "maximum": Rule("ff", lambda a, b: f"vmax({a}, {b})"),
    "minimum": Rule("ff", lambda a, b: f"vmin({a}, {b})"),
    "clamp": Rule("fff", _clamp),
    "clamp_min": Rule("ff", _clamp),
    "clamp_max": Rule("ff", lambda a, b: _clamp(a, None, b)),
    "sign": Rule("f", _sign),
    "sgn": Rule("f", _sign),
    "relu": Rule("f", lambda a: f"vmax({a}, {number(0)})"),
    "where": Rule("bff", lambda m, a, b: f"sel({m}, {a}, {b})"),
    "masked_fill": Rule("fbf", lambda a, m, value: f"sel({m}, {value}, {a})"),
    "silu": Rule("f", lambda a: f"{a} / ({number(1)} + vexp(-{a}))"),
    "softplus": Rule("frr", _softplus),
    "elu": Rule("frrr", _elu),
    "gelu": Rule("fr", _gelu),
    "leaky_relu": Rule("fr", lambda a, slope: f"sel({a} > {number(0)}, {a}, {a} * {number(slope)})"),
    "hardtanh": Rule("frr", lambda a, low, high: _clamp(a, number(low), number(high))),
    "hardsigmoid": Rule("f", _hard_sigmoid),
    "hardswish": Rule("f", lambda a: f"{a} * {_hard_sigmoid(a)}"),
    "threshold": Rule("frr", lambda a, at, other: f"sel({a} <= {number(at)}, {number(other)}, {a})"),
    "celu": Rule("fr", lambda a, alpha=1.0: _elu(a, alpha, 1.0, 1 / alpha)),
    "mish": Rule("f", lambda a: f"{a} * vtanh(vlog1p(vexp({a})))"),
    "sigmoid_backward": Rule("ff", lambda g, y: f"{g} * ({number(1)} - {y}) * {y}"),
    "tanh_backward": Rule("ff", lambda g, y: f"{g} * fma3(-{y}, {y}, {number(1)})"),
    "threshold_backward": Rule("ffr", lambda g, a, at: f"sel({a} <= {number(at)}, {number(0)}, {g})"),
    "softplus_backward": Rule("ffrr", _softplus_backward),
    "elu_backward": Rule("frrrrf", _elu_backward),
    "gelu_backward": Rule("ffr", _gelu_backward),
    "leaky_relu_backward": Rule("ffrr", _leaky_relu_backward),
    "hardtanh_backward": Rule("ffrr", _inside),
    "hardsigmoid_backward": Rule("ff", lambda g, a: _inside(g, a, -3, 3, 1 / 6)),
    "hardswish_backward": Rule("ff", _hard_swish_backward),
    "logical_and": _logic("both"),
    "logical_or": _logic("either"),
    "logical_xor": _logic("differ"),
    "bitwise_and": _logic("both"),
    "bitwise_or": _logic("either"),
    "bitwise_xor": _logic("differ"),
    "logical_not": Rule("b", lambda m: f"no({m})", gives="bool"),
    "bitwise_not": Rule("b", lambda m: f"no({m})", gives="bool"),
    "isnan": Rule("f", lambda a: f"{a} != {a}", gives="bool"),
    "to_float": Rule("b", lambda m: f"sel({m}, {number(1)}, {number(0)})"),
    "to_bool": Rule("f", lambda a: f"{a} != {number(0)}", gives="bool"),
}
_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "eq": "==", "ne": "!="}
OPS |= {name: _compare(sign) for name, sign in _SIGNS.items()}
_FUNCTIONS = "abs floor ceil trunc sqrt exp expm1 log log1p sin cos sigmoid tanh erf"
OPS |= {name: _unary(f"v{name}") for name in _FUNCTIONS.split()}
OPS["round.default"] = _unary("vround")

INSTRUCTIONS = {
    "fma": Rule("fff", lambda a, b, c: f"fma3({a}, {b}, {c})"),
    "inverse": Rule("f", lambda a: f"inverse({a})"),
    "quotient": Rule("ff", lambda a, b: f"quotient({a}, {b})"),
    "near_tanh": _unary("near_tanh"),
}
"""What no step says, and gradients.py puts where a GPU is faster with it."""

_ACTIVATIONS = {"pow", "sigmoid", "silu", "softplus", "elu", "celu", "mish", "gelu"}
EXPENSIVE = {"exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "erf", *_ACTIVATIONS}
"""What a backward would rather keep from its forward sweep than compute twice."""


def value(node: Node, names: Mapping[Node, str]) -> str:
    """How a statement refers to `node`: by its name, or as a literal."""
    if node.op == "constant":
        constant = node.args[0]
        return f"truth({str(constant).lower()})" if isinstance(constant, bool) else number(constant)
    return names[node]


def statements(nodes: Iterable[Node], names: dict[Node, str]) -> list[str]:
    """`const V n7 = ...;` for each node in order; `names` holds the inputs' names and receives the new ones."""
    lines = []
    for node in nodes:
        if node.op in ("constant", "input"):
            continue
        rule = OPS.get(node.op) or INSTRUCTIONS[node.op]
        text = rule.text(*(value(a, names) if isinstance(a, Node) else a for a in node.args))
        names[node] = f"n{node.index}"
        lines.append(f"const {'V' if node.dtype == 'float' else 'M'} {names[node]} = {text};")
    return lines
