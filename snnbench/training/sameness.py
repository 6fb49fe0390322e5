"""Whether two ways to compute a training step come to the same, as far as rounding lets anybody tell."""

from __future__ import annotations

import dataclasses
import pickle
import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

YARDSTICK = 4.0
"""A step may differ from another by so many times what that one differs from itself, repeated."""
ROUNDING = 1e-6
"""A difference that is none, relative to a tensor's length."""
NOTHING = 1e-7
"""The like for a gradient, relative to the length of all of them: some are nothing but rounding."""
REPEATABLE = 1e-2
"""A step that differs from itself by more says nothing of another."""


Named = dict[str, Tensor | None]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a step comes to whose loss is a sum with fixed weights; each tensor by its name.

    Attributes:
        shared: parameters whose gradients lie in the same memory, "" if there are none.
    """

    logits: Named
    gradients: Named
    buffers: Named
    shared: str

    @classmethod
    def of(cls, run: Callable[[Tensor], Tensor], x: Tensor, network: nn.Module) -> Outcome:
        """The outcome of `run`, which does the forward of `network`."""
        logits = run(x)
        weights = torch.linspace(-1, 1, logits.numel(), device=x.device).view_as(logits).to(logits.dtype)
        parameters = {name: value for name, value in network.named_parameters() if value.requires_grad}
        found = torch.autograd.grad(logits, list(parameters.values()), weights, allow_unused=True)
        gradients = dict(zip(parameters, found, strict=True))
        return cls(
            _kept({"the logits": logits}),
            _kept({f"the gradient of {name}": value for name, value in gradients.items()}),
            _kept(dict(network.named_buffers())),
            _shared(gradients),
        )


def same(own: Outcome, again: Outcome, other: Outcome) -> str:
    """The name of the first in which `other` differs from `own`, `again` being the same once more; "" if in none."""
    return (
        _differing(own.logits, again.logits, other.logits)
        or _differing(own.gradients, again.gradients, other.gradients, NOTHING)
        or _differing(own.buffers, again.buffers, other.buffers)
    )


def _differing(own: Named, again: Named, other: Named, nothing: float = 0.0) -> str:
    numbers = {}
    for name, value in own.items():
        repeated, compared = again[name], other[name]
        if value is None or repeated is None or compared is None:
            if value is not compared:
                return name
        elif not value.is_floating_point():
            if not torch.equal(value, compared):
                return name
        else:
            numbers[name] = _numbers(value, repeated, compared)
    return _apart(numbers, nothing)


def _kept(tensors: Mapping[str, Tensor | None]) -> Named:
    return {name: None if value is None else value.detach().clone() for name, value in tensors.items()}


def host_state(device: torch.device) -> tuple[Any, ...]:
    """Where random numbers of the host go on, which are none of this device."""
    drawn = b"" if device.type == "cpu" else torch.get_rng_state().numpy().tobytes()
    return drawn, random.getstate(), pickle.dumps(np.random.get_state())


def _numbers(own: Tensor, again: Tensor, other: Tensor) -> Tensor:
    """Squares of the length, of what own differs from itself and from the other; and whether both are finite alike."""
    finite = own.isfinite()
    alike = (other.isfinite() == finite).all()
    own, again, other = (value.double().nan_to_num(0, 0, 0) * finite for value in (own, again, other))  # of the finite
    squares = (own, own - again, own - other)
    return torch.stack([*(part.square().sum() for part in squares), alike.double()])


def _apart(numbers: dict[str, Tensor], nothing: float) -> str:
    if not numbers:
        return ""
    rows = torch.stack(list(numbers.values())).tolist()  # one wait for the device
    whole, noise = (sum(row[column] for row in rows) ** 0.5 for column in (0, 1))
    for name, (length, repeated, other, alike) in zip(numbers, rows, strict=True):
        limit = max(YARDSTICK * repeated**0.5, ROUNDING * length**0.5, nothing * whole)
        if noise > REPEATABLE * whole or other**0.5 > limit or not alike:
            return name
    return ""


def _shared(gradients: Mapping[str, Tensor | None]) -> str:
    seen: dict[int, str] = {}
    for name, value in gradients.items():
        if value is not None and value.numel():
            first = seen.setdefault(value.data_ptr(), name)
            if first != name:
                return f"{first} and {name}"
    return ""
