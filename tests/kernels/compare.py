"""Outputs and all gradients of a neuron, by any engine, and the tolerances between engines."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from snnbench import kernels
from snnbench.kernels.engines.registry import trouble

DEVICES = ("cpu", *(() if trouble("cuda") else ("cuda",)))
"""Where an engine is compared with the reference: each is also the name of an engine, and that engine can be had."""

Run = Callable[..., tuple[Tensor, dict[str, Tensor]]]


@dataclasses.dataclass
class Outcome:
    spikes: Tensor
    final: dict[str, Tensor]
    grad_x: Tensor
    grad_state: dict[str, Tensor]
    grad_coefficients: dict[str, Tensor]


class Fixed:
    """A cell like `neuron`, with leaf tensors for coefficients: so gradients are those of the kernel itself."""

    def __init__(self, neuron: Any, engine: str, dtype: torch.dtype = torch.float32) -> None:
        self.neuron, self.engine = neuron, engine
        self.states, self.per_step, self.spike = neuron.states, neuron.per_step, neuron.spike
        self.values = {k: v.detach().to(dtype).requires_grad_() for k, v in neuron.coefficients().items()}

    def coefficients(self) -> dict[str, Tensor]:
        return self.values

    def step(self, x: Tensor, state: Any, c: Any, spike: Any) -> Any:
        return self.neuron.step(x, state, c, spike)


def outcome(
    cell: Any, x: Tensor, state: dict[str, Tensor], gs: Tensor, g_final: Tensor, run: Run = kernels.run
) -> Outcome:
    """Everything that a call of `cell` and its backward give, for gradients gs of the spikes, g_final of the states."""
    x = x.detach().requires_grad_()
    state = {k: v.detach().to(torch.promote_types(torch.float32, x.dtype)).requires_grad_() for k, v in state.items()}
    spikes, final = run(cell, x, state or None)
    loss = (spikes * gs.to(x.dtype)).to(g_final.dtype).sum()
    loss = loss + sum((v * g_final).sum() for v in final.values())
    for value in cell.coefficients().values():
        value.grad = None
    loss.backward()
    assert x.grad is not None
    return Outcome(
        spikes.detach(),
        {k: v.detach() for k, v in final.items()},
        x.grad,
        {k: v.grad for k, v in state.items() if v.grad is not None},
        {k: v.grad for k, v in cell.coefficients().items() if v.grad is not None},
    )


def magnitude(cell: Fixed, x: Tensor, state: dict[str, Tensor], gs: Tensor, g_final: Tensor) -> dict[str, Tensor]:
    """Of each coefficient's gradient, the sum of its terms' magnitudes, in float64.

    The gradient of a coefficient that has a value of its own for every neuron and timestep is the term itself.
    """
    wide = copy.copy(cell)
    T = x.shape[0]
    wide.values = {}
    wide.per_step = tuple(cell.values)
    for name, value in cell.values.items():
        value = value.detach().double()
        value = value if name in cell.per_step else value.expand(T, *value.shape)
        shape = (T, 1, -1, *[1] * (x.dim() - 3)) if value.dim() > 1 else (T, *[1] * (x.dim() - 1))
        wide.values[name] = value.reshape(shape).expand(x.shape).clone().requires_grad_()

    def run(_: Any, x: Tensor, state: dict[str, Tensor] | None) -> tuple[Tensor, dict[str, Tensor]]:
        state = dict(state or {k: torch.zeros_like(x[0]) for k in cell.states})
        spikes = []
        for t in range(T):
            s, state = cell.step(x[t], state, {k: v[t] for k, v in wide.values.items()}, cell.spike)
            spikes.append(s)
        return torch.stack(spikes), state

    found = outcome(wide, x.double(), state, gs.double(), g_final.double(), run)
    sums = {}
    for name, value in cell.values.items():
        terms = found.grad_coefficients[name].abs()
        terms = terms if name in cell.per_step else terms.sum(0, keepdim=True)
        if value.dim() > (name in cell.per_step):
            terms = terms.movedim(2, 1).flatten(2).sum(2)
        else:
            terms = terms.flatten(1).sum(1)
        sums[name] = terms.reshape(value.shape)
    return sums


def close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    """Whether a is within `tolerance` of b, relative to the largest of b."""
    if a.numel() == 0:
        return a.shape == b.shape
    return bool((a.double() - b.double()).abs().max() <= tolerance * b.double().abs().max() + 1e-30)


def spread(names: str, first: Sequence[Any], *others: Sequence[Any], each: int) -> pytest.MarkDecorator:
    """Parametrizes with all combinations, most of them slow: of each value of `first` as many as `each` are fast.

    These take the combinations of the others in turn.
    """
    rest = list(itertools.product(*others))
    stride = next(n for n in range(3 * len(rest) // 8 + 1, 2 * len(rest)) if math.gcd(n, len(rest)) == 1)
    found = []
    for i, value in enumerate(first):
        fast = {(i * each + turn) * stride % len(rest) for turn in range(each)}
        for place, more in enumerate(rest):
            found.append(pytest.param(value, *more, marks=[] if place in fast else [pytest.mark.slow]))
    return pytest.mark.parametrize(names.split(), found)


def normal(*shape: int, device: str, seed: int = 0) -> Tensor:
    """The same normal numbers on each device."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)


def both(make: Callable[[], Any], call: Callable[[Any], Any], device: str = "cpu", engine: str = "") -> list[Any]:
    """What `call` makes of a neuron by the reference and by an engine, that of this device."""
    torch.manual_seed(1)
    neuron = make().to(device)
    outcomes = []
    for name in ("reference", engine or device):
        twin = copy.deepcopy(neuron)
        twin.engine = name
        outcomes.append(call(twin))
    return outcomes


def spikes_and_gradients(neuron: Any, T: int = 4) -> list[Tensor]:
    """Of a call [T, 2, 4, 8] on the CPU: spikes, and the gradients of x and of all parameters."""
    x = normal(T, 2, 4, 8, device="cpu").requires_grad_()
    s = neuron(x)
    return [s.detach(), *torch.autograd.grad((s * x.detach()).sum(), [x, *neuron.parameters()])]


def same(reference: Any, fused: Any, tolerance: float = 2e-6) -> None:
    assert len(reference) == len(fused)
    for a, b in zip(reference, fused, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.shape == b.shape
            assert a.dtype == b.dtype
            assert close(b, a, tolerance)
