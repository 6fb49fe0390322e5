"""An input that is constant over time: one frame, which the graph itself proves to be what is repeated.

Such an input is read once, and its gradient, summed over time, goes to the frame directly. That must be nobody's
loss: whoever wants the gradient of the repeated input (a hook, retain_grad, autograd.grad) gets it. Hooks and
retain_grad show before the backward pass, so the gradient's way is chosen there.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from snnbench.kernels.engines.layout import is_dense
from snnbench.kernels.plain import plain

_FRAME = "_snnbench_frame"


def repeat(frame: Tensor, steps: int) -> Tensor:
    """`frame` [1, B, ...] expanded to `steps` timesteps, which remembers what it was made from.

    A plain `frame.expand(...)` is read once, too, if `frame` is no view: then PyTorch remembers it.
    """
    x = frame.expand(steps, *[-1] * (frame.dim() - 1))
    if x.requires_grad and not torch.compiler.is_compiling() and type(x) is Tensor:
        setattr(x, _FRAME, frame)
    return x


def constant(x: Tensor) -> bool:
    """Whether all frames of x are the same memory, without gaps."""
    strides = x.stride()
    return (
        len(strides) > 1 and strides[0] == 0 and x.shape[0] > 1 and x.numel() > 0 and is_dense(x.shape[1:], strides[1:])
    )


def frame_of(x: Tensor) -> Tensor | None:
    """The tensor that x, constant over time and with a gradient, was expanded from; None if that cannot be proved."""
    node: Any = x.grad_fn
    if node is None or node.name() != "ExpandBackward0" or _wanted(x):
        return None
    frame = x.__dict__.get(_FRAME)
    if frame is None:
        frame = x._base
    if frame is None or not plain(x.device, frame):
        return None
    shape = frame.shape
    if (
        shape != node._saved_self_sym_sizes
        or shape[-x.dim() + 1 :] != x.shape[1:]
        or frame.numel() * len(x) != x.numel()
    ):
        return None
    if frame.data_ptr() != x.data_ptr() or frame.dtype is not x.dtype:
        return None
    ((source, number),) = node.next_functions
    made = getattr(source, "variable", None) is frame if frame.is_leaf else source is frame.grad_fn
    return frame if made and number == frame.output_nr else None


def unobserved(x: Tensor, node: Any, mark: Tensor) -> bool:
    """Asked in a backward pass: whether nobody wants the gradient of x, an output of `node`."""
    registers = (node.register_hook, node.register_prehook)
    if x.grad_fn is not node or _wanted(x):
        return False
    try:
        whole = torch._C._will_engine_execute_node(_gradient_node(mark))
    except RuntimeError:  # no backward pass: someone calls the node by hand
        return False
    return whole and not any(map(_hooks, registers))


@functools.cache
def mark_on(device: torch.device) -> Tensor:
    """A leaf beside each such input. Only if a backward pass goes through all of the graph, it reaches it.

    If it does not, it was asked for the gradients of some tensors, and x may be one of them.
    """
    with torch.inference_mode(False):
        mark = torch.zeros((), device=device, requires_grad=True)
    _gradient_node(mark)
    return mark


@functools.cache
def _gradient_node(mark: Tensor) -> Any:
    return torch.autograd.graph.get_gradient_edge(mark).node


def _wanted(x: Tensor) -> bool:
    return bool(x.retains_grad or x._backward_hooks)


def _hooks(register: Any) -> int:
    """How many hooks a node has. PyTorch tells it to a new one only, by the table that it is entered in."""
    handle = register(_nothing)
    others = len(handle.hooks_dict_ref()) - 1
    handle.remove()
    return others


def _nothing(*_: Any) -> None:
    pass
