"""PyTorch's fused optimizers, where they can be had: one pass over a parameter instead of one for each operation.

They are the same update up to rounding, but they trust what they are given: on a CPU they pair the elements of a
parameter, its gradient and its momentum by their place in memory, without a look at the strides; and where a gradient
scaler has SGD's first step left out, its momentum is whatever lay in memory.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.optim import Optimizer

DEVICES = ("cpu", "cuda")
CHOICE = ("fused", "foreach")
"""What says how an update is computed, and changes nothing else of it."""


def build_fused(factory: partial[Optimizer], groups: Sequence[dict[str, Any]], *, wanted: bool = True) -> Optimizer:
    """The optimizer of `groups`: fused where its class and its parameters allow it and no other way was asked for.

    Whichever way it computes, it goes on from the state that another way left: a checkpoint does not change the way.

    Args:
        factory: builds it from its groups.
        groups: with their "params".
        wanted: False leaves it as the factory makes it.
    """
    optimizer = _fused(factory, groups) if wanted and _allowed(factory, groups) else None
    optimizer = factory(groups) if optimizer is None else optimizer
    optimizer.register_step_post_hook(_count)
    optimizer.register_load_state_dict_pre_hook(_own_way)
    optimizer.register_load_state_dict_post_hook(align)
    return optimizer


def _count(optimizer: Optimizer, *_: Any) -> None:
    """Let autograd know that parameters have changed, as all other updates do: PyTorch's fused ones forget to.

    Without, a backward through what was kept before a step would give wrong gradients instead of an error.
    """
    for group in optimizer.param_groups:
        if group.get("fused"):
            increment_version([parameter for parameter in group["params"] if parameter.grad is not None])


def _allowed(factory: partial[Optimizer], groups: Sequence[dict[str, Any]]) -> bool:
    given = factory.keywords
    parameters = [parameter for group in groups for parameter in group["params"]]
    return (
        str(getattr(factory.func, "__module__", "")).startswith("torch.optim.")
        and "fused" in inspect.signature(factory.func).parameters
        and all(given.get(key) is None for key in CHOICE)
        and not given.get("differentiable")
        and not given.get("dampening")  # the first step differs from one with a momentum of 0
        and all(p.device.type in DEVICES and p.is_floating_point() and _dense(p) for p in parameters)
    )


def _fused(factory: partial[Optimizer], groups: Sequence[dict[str, Any]]) -> Optimizer | None:
    try:
        return factory([dict(group) for group in groups], fused=True)
    except RuntimeError:  # some are fused on one kind of device only
        return None


def _own_way(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any] | None:
    """The state of a checkpoint, to be gone on from in the optimizer's own way."""
    own, theirs = optimizer.param_groups, state["param_groups"]
    if len(own) != len(theirs):
        return None  # PyTorch refuses it
    ways = [{key: group[key] for key in CHOICE if key in group} for group in own]
    return {**state, "param_groups": [{**group, **way} for group, way in zip(theirs, ways, strict=True)]}


def align(optimizer: Optimizer) -> None:
    """Make sure of what fused groups take for granted; sparse gradients end the fusing.

    Gradients and states are laid out as their parameters, and there is a momentum before the first step. To be called
    before each step: a network may have been moved to another layout since the last one.
    """
    for group in optimizer.param_groups:
        if group.get("fused"):
            for parameter in group["params"]:
                if parameter.grad is not None:
                    _align(optimizer, group, parameter)


def _align(optimizer: Optimizer, group: dict[str, Any], parameter: Tensor) -> None:
    gradient, strides = parameter.grad, parameter.stride()
    assert gradient is not None
    if gradient.is_sparse:
        group["fused"] = optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
        vars(optimizer).pop("found_inf", None)
        return
    state = optimizer.state.get(parameter, {})
    if group.get("momentum") and state.get("momentum_buffer") is None:
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    if parameter.dim() < 2:
        return
    if gradient.stride() != strides:
        parameter.grad = _like(parameter, gradient)
    for key, value in state.items():
        if isinstance(value, Tensor) and value.dim() > 1 and value.stride() != strides:
            state[key] = _like(parameter, value)


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """`value` in the memory layout of `parameter`; itself, if only dimensions of 1 differ."""
    if value.shape != parameter.shape or _strides(value) == _strides(parameter):
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _dense(tensor: Tensor) -> bool:
    """Whether the elements fill their memory, each with a place of its own."""
    expected = 1
    for stride, size in sorted(_strides(tensor)):
        if stride != expected:
            return False
        expected *= size
    return True


def _strides(tensor: Tensor) -> list[tuple[int, int]]:
    """(stride, size) of each dimension that has more than one element."""
    return [pair for pair in zip(tensor.stride(), tensor.shape, strict=True) if pair[1] > 1]
