"""Steps drawn at random from the supported operations: fused and reference must say the same."""

from __future__ import annotations

from typing import Any

import pytest
import shim
import torch
from compare import close
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from snnbench.kernels import run
from snnbench.kernels.engines import cuda
from snnbench.neurons.surrogate import make_surrogate

UNARY = {
    "neg": lambda a: -a,
    "abs": torch.abs,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "square": lambda a: a**2,
    "clamp": lambda a: a.clamp(-1, 1),
    "scale": lambda a: 0.3 * a - 1,
    "detach": lambda a: a.detach(),
    "root": lambda a: torch.sqrt(a * a + 0.5),
    "exp": lambda a: torch.exp(a.clamp(max=2)),
}
BINARY = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": lambda a, b: a / (1 + b * b),
    "maximum": torch.maximum,
    "where": lambda a, b: torch.where(a > b, a, 0.5 * b),
    "lerp": lambda a, b: torch.lerp(a, b, 0.25),
    "addcmul": lambda a, b: torch.addcmul(a, a, b, value=0.5),
    "in place": lambda a, b: (a * 1.0).add_(b),
}
operation = st.tuples(st.sampled_from([*UNARY, *BINARY]), st.integers(0, 30), st.integers(0, 30))


class Cell:
    """Two states, one coefficient per layer and one per channel; `plan` says what is computed from what."""

    states, per_step = ("v", "w"), ()

    def __init__(self, plan: list[tuple[str, int, int]], surrogate: str, engine: str, device: str) -> None:
        self.plan, self.spike, self.engine, self.device = plan, make_surrogate(surrogate), engine, device
        values = {"a": torch.tensor(0.6), "b": torch.linspace(-1, 1, 3)}
        self.values = {name: value.to(device).requires_grad_() for name, value in values.items()}

    def coefficients(self) -> dict[str, Tensor]:
        return self.values

    def step(self, x: Tensor, state: Any, c: Any, spike: Any) -> Any:
        known = [x, state["v"], state["w"], c["a"] * x, c["b"] + state["v"]]
        for name, i, j in self.plan:
            a, b = known[-1 - i % len(known)], known[-1 - j % len(known)]
            known.append(UNARY[name](a) if name in UNARY else BINARY[name](a, b))
        s = spike(known[-1] + 0.1)
        return s, {"v": (known[-1] - s).clamp(-3, 3), "w": torch.tanh(0.5 * state["w"] + known[-2])}


def results(call: Any, cell: Cell, T: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(T)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(cell.device)

    x = normal(T, 2, 3, 5).requires_grad_()
    state = {key: normal(2, 3, 5).requires_grad_() for key in cell.states}
    s, final = call(cell, x, state)
    weights = normal(T, 2, 3, 5)
    loss = (s * weights).sum() + (final["v"] * weights[0]).sum() + (final["w"] * weights[0]).sum()
    inputs = [x, *state.values(), *cell.values.values()]
    found = torch.autograd.grad(loss, inputs, materialize_grads=True)
    return [s.detach(), final["v"].detach(), final["w"].detach(), *found]


def check(call: Any, plan: list, surrogate: str, T: int, engine: str, device: str) -> None:
    expected = results(run, Cell(plan, surrogate, "reference", device), T)
    assume(all(value.isfinite().all() and value.abs().max() < 1e4 for value in expected))
    found = results(call, Cell(plan, surrogate, engine, device), T)
    assume(torch.equal(found[0], expected[0]) or (found[0] != expected[0]).sum() > 1)  # one within rounding of 0
    for a, b in zip(expected, found, strict=True):
        assert close(b, a, 1e-4)


COMMON = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
draws = given(
    plan=st.lists(operation, min_size=1, max_size=14),
    surrogate=st.sampled_from(["atan", "sigmoid", "triangle", "rectangle", "tanh"]),
    T=st.sampled_from([1, 3]),
)


@settings(max_examples=10, **COMMON)
@draws
def test_random_steps(plan: list, surrogate: str, T: int, device: str) -> None:
    check(run, plan, surrogate, T, device, device)


@pytest.mark.slow
@settings(max_examples=100, **COMMON)
@draws
def test_many_random_steps(plan: list, surrogate: str, T: int, device: str) -> None:
    check(run, plan, surrogate, T, device, device)


@pytest.mark.slow
@settings(max_examples=60, **COMMON)
@draws
def test_random_steps_in_cuda_text(plan: list, surrogate: str, T: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "load", shim.load)
        check(shim.run, plan, surrogate, T, "reference", "cpu")
