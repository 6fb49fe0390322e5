"""Derivatives by running a function once more in PyTorch's operations, where no kernel gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def differentiated(
    function: Callable[..., Sequence[Tensor]],
    given: Sequence[Tensor | None],
    wanted: Sequence[bool],
    gradients: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """The gradients of what `function` gives at `given`, None where not wanted or not there.

    `gradients` are those of its results, in order, None being zeros. What comes out can be differentiated again if
    gradients are enabled.
    """
    further = torch.is_grad_enabled()
    with torch.enable_grad():
        inputs = [
            v if v is None else v.view_as(v) if further and want else v.detach().requires_grad_(want)
            for v, want in zip(given, wanted, strict=True)
        ]
        results = function(*inputs)
        pairs = [(r, g) for r, g in zip(results, gradients, strict=False) if g is not None and r.requires_grad]
        asked = [v for v, want in zip(inputs, wanted, strict=True) if want and v is not None]
        if not pairs or not asked:
            return [None] * len(wanted)
        ends, starts = zip(*pairs, strict=True)
        found = iter(torch.autograd.grad(ends, asked, starts, create_graph=further, allow_unused=True))
    return [next(found) if want and v is not None else None for v, want in zip(inputs, wanted, strict=True)]
