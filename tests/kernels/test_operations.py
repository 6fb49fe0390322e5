"""Every operation that the emitter knows, forward and derivative, by the engines and in the CUDA text."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

import pytest
import shim
import torch
import torch.nn.functional as F
from compare import close
from cupy_stand_in import Machine
from torch import Tensor

from snnbench.kernels import plans, run
from snnbench.kernels.codegen.ops import OPS
from snnbench.kernels.engines import build, cpu, cuda
from snnbench.kernels.plans import plan_of
from snnbench.neurons.surrogate import make_surrogate

EXACT = {
    "add alpha": lambda a, b: torch.add(a, b, alpha=0.3),
    "sub alpha": lambda a, b: torch.sub(a, b, alpha=1.7),
    "rsub": lambda a, b: torch.rsub(a, b),
    "mul": lambda a, b: a * b * 0.1,
    "div": lambda a, b: a / (b.abs() + 0.5) + a / 3.0,
    "negative": lambda a, b: -a + abs(b),
    "reciprocal": lambda a, b: 1 / (a.abs() + 0.3),
    "square": lambda a, b: torch.square(a) - b,
    "powers": lambda a, b: a**2 + b**3 + (b.abs() + 1) ** -1 + (a.abs() + 1) ** -2 + a**1,
    "addcmul": lambda a, b: torch.addcmul(a, a, b, value=0.7),
    "lerp": lambda a, b: torch.lerp(a, b, 0.3) + torch.lerp(a, b, 0.8),
    "maximum": lambda a, b: torch.maximum(a, b) + torch.minimum(a, 2 * b),
    "max": lambda a, b: torch.max(a, b) - torch.min(a, b),
    "clamp": lambda a, b: a.clamp(-0.5, 0.7) + b.clamp(min=0.1) * a.clamp(max=0.2),
    "relu": lambda a, b: torch.relu(a) + b,
    "where": lambda a, b: torch.where(a > b, a, 0.5 * b) + torch.where(a < 0, 1.0, b),
    "masked fill": lambda a, b: a.masked_fill(b > 0, 2.0),
    "logic": lambda a, b: torch.where(((a > 0) & (b < 1)) | ~(a <= b), a, b),
    "more logic": lambda a, b: torch.logical_xor(a >= 0, b != 0).float() * a + torch.logical_not(a == b).float(),
    "truth of numbers": lambda a, b: torch.logical_and(torch.relu(a), torch.relu(b)).to(a.dtype) + a.bool().float(),
    "or": lambda a, b: torch.where(torch.logical_or(a > 1, b > 1) ^ (a > b), a, b),
    "one-sided clamps": lambda a, b: torch.clamp_min(a, 0.1) * torch.clamp_max(b, 0.3),
    "rounding": lambda a, b: torch.floor(3 * a) + torch.ceil(b) + torch.trunc(2 * b) + torch.round(4 * a),
    "sign": lambda a, b: torch.sign(a) + torch.sgn(b) * b,
    "leaky": lambda a, b: F.leaky_relu(a, 0.2) + b,
    "hard": lambda a, b: F.hardtanh(a, -0.4, 0.9) + F.relu6(4 * b),
    "hard sigmoid": lambda a, b: F.hardsigmoid(4 * a) + F.hardswish(4 * b),
    "threshold": lambda a, b: F.threshold(a, 0.2, 0.0) + b,
    "constants": lambda a, b: a * torch.ones_like(a) + torch.full_like(b, 0.25) + torch.tensor(0.5) + 0 * b,
    "in place": lambda a, b: (a * 1.5).add_(b).mul_(0.5).clamp_(min=-1),
    "not a number": lambda a, b: torch.where(torch.isnan(a), b, a),
}
ROUNDED = {
    "square root": lambda a, b: torch.sqrt(a.abs() + 0.1) + b,
    "root powers": lambda a, b: (a.abs() + 0.1) ** 0.5 + (b.abs() + 0.1) ** -0.5,
    "mish": lambda a, b: F.mish(a) + b,
    "exp": lambda a, b: torch.exp(a) + torch.expm1(0.2 * b),
    "log": lambda a, b: torch.log(a.abs() + 0.2) + torch.log1p(b.abs()),
    "sine": lambda a, b: torch.sin(a) * torch.cos(b),
    "tanh": lambda a, b: torch.tanh(2 * a) + b,
    "sigmoid": lambda a, b: torch.sigmoid(3 * a) * b,
    "error function": lambda a, b: torch.erf(a) + b,
    "rsqrt": lambda a, b: torch.rsqrt(a.abs() + 0.2) + b,
    "power": lambda a, b: (a.abs() + 0.2) ** 1.7 + (b.abs() + 0.3) ** (0.5 * a) + 2.0**b,
    "addcdiv": lambda a, b: torch.addcdiv(a, a, b.abs() + 1, value=0.7),
    "silu": lambda a, b: F.silu(a) + b,
    "softplus": lambda a, b: F.softplus(a, 2.0) + F.softplus(15 * b),
    "elu": lambda a, b: F.elu(a, 0.8) + F.celu(b, 1.3) + F.selu(a),
    "gelu": lambda a, b: F.gelu(a) + F.gelu(b, approximate="tanh"),
}


FUNCTIONS = EXACT | ROUNDED
GROUPS = [list(FUNCTIONS)[start : start + 8] for start in range(0, len(FUNCTIONS), 8)]  # each is one kernel to compile


class Cell:
    """A cell whose states go their own ways: the next value of each is any function of the input and of itself."""

    per_step, spike = (), make_surrogate("atan")

    def __init__(self, functions: dict[str, Any], engine: str) -> None:
        self.functions, self.states, self.engine = functions, tuple(functions), engine

    def coefficients(self) -> dict[str, Tensor]:
        return {}

    def step(self, x: Tensor, state: Any, c: Any, spike: Any) -> Any:
        return self.spike(x), {key: function(x, state[key]) for key, function in self.functions.items()}


def cell_of(names: list[str], engine: str) -> Cell:
    return Cell({f"v{i}": FUNCTIONS[name] for i, name in enumerate(names)}, engine)


def results(call: Any, cell: Cell, device: str = "cpu") -> list[list[Tensor]]:
    """Of each state: its final value, and the gradients of x and of its initial value."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    x = (1.5 * normal(2, 3, 67)).requires_grad_()
    start = {key: normal(3, 67).requires_grad_() for key in cell.states}
    _, state = call(cell, x, start)
    weights = normal(3, 67)
    found = []
    for key, v in start.items():
        loss = (state[key] * weights).sum() + 0 * v.sum()
        gradients = torch.autograd.grad(loss, [x, v], retain_graph=True, materialize_grads=True)
        found.append([state[key].detach(), *gradients])
    return found


@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_operations(names: list[str], device: str) -> None:
    expected, found = (results(run, cell_of(names, engine), device) for engine in ("reference", device))
    for name, ours, theirs in zip(names, found, expected, strict=True):
        # PyTorch's own kernels for GPUs contract products and sums
        assert name not in EXACT or device != "cpu" or torch.equal(ours[0], theirs[0]), name
        assert all(close(a, b, 1e-6 if device == "cpu" else 4e-6) for a, b in zip(ours, theirs, strict=True)), name


@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_operations_in_cuda_text(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "load", shim.load)
    cell = cell_of(names, "reference")
    for name, ours, theirs in zip(names, results(shim.run, cell), results(run, cell), strict=True):
        assert all(close(a, b, 2e-6) for a, b in zip(ours, theirs, strict=True)), name


@pytest.mark.slow
@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_operations_in_a_gpus_instructions(names: list[str], machine: Machine) -> None:
    expected, found = (results(run, cell_of(names, engine)) for engine in ("reference", "stand-in"))
    for name, ours, theirs in zip(names, found, expected, strict=True):
        assert name not in EXACT or torch.equal(ours[0], theirs[0]), name
        assert all(close(a, b, 4e-6) for a, b in zip(ours, theirs, strict=True)), name
    assert len(machine.launches) > len(names)


def test_every_operation_is_covered() -> None:
    from snnbench.kernels.codegen.graph import needed

    program = plan_of(cell_of(list(FUNCTIONS), "cpu")).program
    assert program is not None
    outputs = [*program.next_states, program.grad_x, *program.grad_states]
    assert set(OPS) == {node.op for node in needed(outputs)} - {"input", "constant"}


@pytest.fixture(params=["native", "-mno-avx512f", "-mno-avx"])
def registers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The CPU engine for the widest registers here, and for narrower ones, whose functions are written differently."""
    if request.param != "native":
        if platform.machine() != "x86_64":
            pytest.skip("the flags are those of x86-64 compilers")
        monkeypatch.setattr(build, "LIBRARIES", (*build.LIBRARIES, request.param))  # behind -march=native
    monkeypatch.setattr(plans, "_by_key", {})
    cpu.compiled.cache_clear()
    yield
    cpu.compiled.cache_clear()


@pytest.mark.usefixtures("registers")
@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid"])
def test_functions_over_their_whole_range(name: str) -> None:
    """At most 4 units in the last place from float64, infinities and subnormals included."""
    x = torch.cat([torch.linspace(-120, 120, 400_001), torch.linspace(-2, 2, 100_001), torch.tensor([0.0, -0.0])])
    x = torch.cat([x, torch.tensor([float("inf"), -float("inf"), float("nan"), 1e-30, -1e-42])])
    function = getattr(torch, name)
    found = run(Cell({"v": lambda a, b: function(a)}, "cpu"), x[None, None])[1]["v"][0]
    expected = function(x.double())
    unit = torch.finfo(torch.float32).eps * expected.abs().clamp(torch.finfo(torch.float32).tiny, 3.4e38)
    if name == "sigmoid":  # below -88, exp(-x) is beyond float32, in PyTorch, too
        assert (found[x < -88] <= 1e-38).all()
        found[x < -88] = expected[x < -88].float()
    finite = expected.float().isfinite()
    assert torch.equal(found[~finite].nan_to_num(7), expected.float()[~finite].nan_to_num(7))
    assert ((found.double() - expected).abs() / unit)[finite].max() <= 4
