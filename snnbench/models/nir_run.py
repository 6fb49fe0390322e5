"""A chain of NIR's nodes, run by Euler steps of dt = 1: what a graph says, by its own equations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def simulate(nodes: list[Any], frames: Tensor) -> Tensor:
    """The outputs [T, B, ...] for frames [T, B, C, H, W]."""
    states: dict[int, Tensor] = {}
    outputs = []
    for x in frames:
        for place, node in enumerate(nodes):
            x = _step(node, x, states, place)
        outputs.append(x)
    return torch.stack(outputs)


def _step(node: Any, x: Tensor, states: dict[int, Tensor], place: int) -> Tensor:
    kind = type(node).__name__
    values = {name: torch.from_numpy(value).to(x.dtype) for name, value in vars(node).items() if _is_floats(value)}
    if kind in ("IF", "LIF"):
        v, current = states.get(place, torch.zeros_like(x)), values["r"] * x
        h = v + current if kind == "IF" else v + (values["v_leak"] - v + current) / values["tau"]
        spikes = h >= values["v_threshold"]
        states[place] = torch.where(spikes, values["v_reset"], h)
        return spikes.to(x.dtype)
    if kind == "Conv2d":
        stride, padding, dilation = (_pair(value) for value in (node.stride, node.padding, node.dilation))
        return functional.conv2d(x, values["weight"], values["bias"], stride, padding, dilation, int(node.groups))
    if kind in ("Linear", "Affine"):
        return functional.linear(x, values["weight"], values.get("bias"))
    if kind == "AvgPool2d":
        return functional.avg_pool2d(x, _pair(node.kernel_size), _pair(node.stride))
    return x.flatten(1) if kind == "Flatten" else x


def _pair(value: Any) -> tuple[int, int]:
    """A tuple, or what a file makes of it."""
    height, width = value
    return int(height), int(width)


def _is_floats(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "kind", "") == "f"
