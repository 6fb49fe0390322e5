"""Which tensors a kernel may see, and when: plain memory, while nobody looks on at single operations.

A kernel takes addresses. Whatever is more than the numbers at an address (a subclass, a batch of a transform, zeros
that were never written, a sparse tensor) is for PyTorch's own operations, and so for the reference.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

_keys = torch._C._dispatch_keys


def plain(device: torch.device, *values: Tensor | None) -> bool:
    """Whether all of `values` are dense memory on this device, and nothing else."""
    keys = _plain_keys(device)
    several = device.type != "cpu"
    for value in values:
        if value is None:
            continue
        kind = type(value)
        if (kind is not Tensor and kind is not Parameter) or _keys(value).raw_repr() not in keys:
            return False
        if value.data_ptr() == 0 and value.numel():  # its storage was taken away
            return False
        if several and value.device != device:
            return False
    return True


def floats(*shape: int, last: bool = False) -> Tensor:
    """Memory that C++ writes float32 numbers into, whatever PyTorch's default dtype and device are."""
    layout = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=torch.float32, device="cpu", memory_format=layout)


@functools.cache
def _plain_keys(device: torch.device) -> frozenset[int]:
    """The dispatch keys of the most ordinary tensors, in and out of inference mode; any other is more than they are.

    They are made in a thread of its own, on which no transform and no mode is at work.
    """

    def make(inference: bool) -> int:
        with torch.inference_mode(inference):
            return _keys(torch.empty(0, device=device)).raw_repr()

    with ThreadPoolExecutor(1) as thread:
        return frozenset(thread.map(make, (False, True)))


def watched() -> str:
    """What sees the single operations of this call, and would miss those of a kernel; "" if nothing does."""
    if torch._C._are_functorch_transforms_active():
        return "torch.func is at work"
    if torch._C._len_torch_dispatch_stack():
        return "a TorchDispatchMode is on"
    if torch._C._get_tracing_state() is not None:
        return "torch.jit traces"
    return "forward-mode differentiation is on" if forward_ad._current_level >= 0 else ""


def described(value: object) -> str:
    """For a log line, what kind of tensor it is that is not plain."""
    if not isinstance(value, Tensor) or type(value) not in (Tensor, Parameter):
        return f"a {type(value).__name__}"
    names = [str(torch._C._dispatch_keys(value)).removeprefix("DispatchKeySet")]
    return f"a tensor of {names[0]} on {value.device.type}"
