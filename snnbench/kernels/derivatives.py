"""Derivatives by running a function once more in PyTorch's operations, where no kernel gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def differentiated(
    function: Callable[..., Tensor], given: Sequence[Tensor | None], wanted: Sequence[bool], gradient: Tensor
) -> list[Tensor | None]:
    """The gradients of `function` at `given`, None where not wanted or not there.

    They can be differentiated again if gradients are enabled.
    """
    further = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = [
            v if v is None else v.view_as(v) if further and want else v.detach().requires_grad_(want)
            for v, want in zip(given, wanted, strict=True)
        ]
        result = function(*inputs)
        asked = [v for v, want in zip(inputs, wanted, strict=True) if want and v is not None]
        found = iter(torch.autograd.grad(result, asked, gradient, create_graph=further, allow_unused=True))
    return [next(found) if want and v is not None else None for v, want in zip(inputs, wanted, strict=True)]
