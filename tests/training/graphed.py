"""What stands in for torch.cuda.make_graphed_callables where there is no GPU: its memory and its blindness."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def graphed(whole: nn.Module, x: Tensor) -> Callable[[Tensor], Tensor]:
    """A module's forward and backward as they are now: attributes are those of now, inputs, outputs and gradients lie
    in memory of the recording, and which parameters are learned was settled then.

    Random numbers of the device, here the CPU's, go on, as a GPU's do in a replay.
    """
    tensors = [*whole.parameters(), *whole.buffers()]
    frozen = copy.deepcopy(whole, {id(tensor): tensor for tensor in tensors})
    learned = [parameter for parameter in whole.parameters() if parameter.requires_grad]
    kept: dict[str, Any] = {}

    class Graphed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, *parameters: Tensor) -> Tensor:
            static_x.copy_(x)
            with torch.enable_grad(), autocast():
                kept["logits"] = frozen(static_x)
            outputs.copy_(kept["logits"].detach())
            return outputs.detach()

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
            found = torch.autograd.grad(kept["logits"], learned, grads[0], allow_unused=True)
            for place, gradient in zip(gradients, found, strict=True):
                if place is not None and gradient is not None:
                    place.copy_(gradient)
            return None, *(None if place is None else place.detach() for place in gradients)

    mixed = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def autocast() -> torch.autocast:
        return torch.autocast("cpu", mixed[1], enabled=mixed[0], cache_enabled=False)

    static_x = x.clone()
    with torch.enable_grad(), autocast():
        logits = frozen(static_x)
    outputs = logits.detach().clone()
    first = torch.autograd.grad(logits, learned, torch.ones_like(logits), allow_unused=True)
    places: dict[int, Tensor] = {}  # one tensor for two parameters stays one
    gradients = [None if g is None else places.setdefault(g.data_ptr(), g.clone()) for g in first]
    return lambda x: Graphed.apply(x, *learned)  # type: ignore[no-any-return]
