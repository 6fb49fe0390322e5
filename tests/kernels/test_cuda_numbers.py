"""How near a GPU's approximate instructions come to exact numbers, over the whole range, and what spikes make of it.

Each test runs the CUDA text as C++, whose functions are exact; as PTX, whose approximate instructions are as far off as
NVIDIA allows; and on a GPU where there is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import shim
import torch
from compare import DEVICES, Fixed, Run
from test_fused_neurons import NEURONS, is_exact
from torch import Tensor

from snnbench import kernels
from snnbench.kernels.codegen.gradients import loosened
from snnbench.kernels.codegen.graph import needed
from snnbench.kernels.codegen.trace import trace
from snnbench.kernels.engines import cuda, reference
from snnbench.neurons.surrogate import make_surrogate

TINY = 2**-126
"""Below this, an instruction may give 0."""
WAYS = ("shim", "stand-in", *DEVICES[1:])


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, str]:
    """What runs a cell by the CUDA engine, and the device of its tensors."""

    def run(cell: Any, x: Tensor, state: dict[str, Tensor] | None) -> tuple[Tensor, dict[str, Tensor]]:
        cell.engine = request.param
        return kernels.run(cell, x, state)

    if request.param == "cuda":
        return run, "cuda"
    if request.param == "stand-in":
        request.getfixturevalue("machine")
        return run, "cpu"
    cuda.compiled.cache_clear()
    monkeypatch.setattr(cuda, "load", shim.load)
    return shim.run, "cpu"


class Cell:
    """A spike at x - 1, and a state that becomes a function of x."""

    states, per_step = ("v",), ()

    def __init__(self, function: Callable[[Tensor], Tensor], surrogate: Any = "atan") -> None:
        self.function, self.spike = function, make_surrogate(surrogate)

    def coefficients(self) -> dict[str, Tensor]:
        return {}

    def step(self, x: Tensor, state: Any, c: Any, spike: Any) -> Any:
        return spike(x - 1), {"v": self.function(x)}


def wide(limit: float) -> Tensor:
    """Numbers of every magnitude and both signs, those in [-limit, limit] densely; 0, infinities and NaN."""
    dense, powers = torch.linspace(-limit, limit, 300_001), 2.0 ** torch.linspace(-149, 127.99, 40_001)
    odd = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, 3.4e38, -3.4e38, 1e-45])
    return torch.cat([dense, powers, -powers, odd])


def called(cell: Cell, x: Tensor, way: tuple[Run, str], gs: float = 0.0, gv: float = 0.0) -> tuple[Tensor, Tensor]:
    """The final state for the input x, and x's gradient for those of the spike and the state."""
    run, device = way
    leaf = x.to(device)[None, None].requires_grad_()
    s, state = run(cell, leaf, None)
    given = [torch.full_like(s, gs), torch.full_like(state["v"], gv)]
    (gx,) = torch.autograd.grad([s, state["v"]], [leaf], given)
    return state["v"].detach().cpu()[0], gx.cpu()[0, 0]


def near(found: Tensor, exact: Tensor, relative: float, absolute: float = TINY) -> bool:
    """Whether finite numbers are as near as that, and the others the same; what lies beyond float32 is infinite."""
    rounded = exact.float()
    finite = rounded.isfinite()
    error = (found.double() - exact).abs()[finite]
    allowed = relative * exact.abs()[finite] + absolute
    return bool((error <= allowed).all()) and torch.equal(found[~finite].nan_to_num(7), rounded[~finite].nan_to_num(7))


def test_sigmoid(way: tuple[Run, str]) -> None:
    """Within two units in the last place of 1; where it is small, also relative to itself."""
    x = wide(100)
    found, _ = called(Cell(torch.sigmoid), x, way)
    exact = torch.sigmoid(x.double())
    assert near(found, exact, 0, 2**-22)
    inside = x.abs() < 80
    assert ((found - exact).abs() / exact)[inside].max() <= 2**-22 * (1 + 80 / 3)
    moderate = x.abs() < 8
    assert ((found - exact).abs() / exact)[moderate].max() <= 2**-20
    assert found[x == math.inf] == 1
    assert found[x == -math.inf] == 0


@pytest.mark.parametrize("alpha", [0.5, 2.0, 25.0])
def test_surrogate_with_an_inverse(alpha: float, way: tuple[Run, str]) -> None:
    x = wide(40)
    _, found = called(Cell(torch.relu, {"name": "atan", "alpha": alpha}), x, way, gs=0.75)
    u = (x - 1).double()
    exact = 0.75 * (alpha / 2) / (1 + (u * (math.pi * alpha / 2)) ** 2)
    # beyond 1e19 the square is not float32's, and eager's gradient is 0 as well
    exact = torch.where(u.abs() > 1e18, torch.zeros_like(exact), exact)
    assert near(found, exact, 2**-20, 1e-36)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_surrogate_with_a_function(name: str, way: tuple[Run, str]) -> None:
    """Relative to the peak; both have the form y (1 - y), or 1 - y^2, of a function y that is near 1 elsewhere."""
    x = wide(40)
    surrogate = make_surrogate(name)
    _, found = called(Cell(torch.relu, name), x, way, gs=1.0)
    u = (x - 1).double()
    peak = surrogate.derivative(torch.zeros((), dtype=torch.float64)).item()
    assert near(found[~u.isinf()], surrogate.derivative(u)[~u.isinf()], 0, 2**-20 * peak)
    assert (found[u.isinf()] == 0).all()


def test_any_denominator(way: tuple[Run, str]) -> None:
    """The logarithm's gradient divides by x, be it tiny, huge, subnormal or none."""
    x = wide(40)
    _, found = called(Cell(torch.log), x, way, gv=1.5)
    x = x.double()
    assert near(found, 1.5 / x, 2**-21)
    _, found = called(Cell(torch.reciprocal), x.float(), way, gv=1.0)
    usual = (x.abs() > 1e-18) & (x.abs() < 1e18)
    assert near(found[usual], (-1 / x**2)[usual], 2**-20)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_to_nearest_even(dtype: torch.dtype, way: tuple[Run, str]) -> None:
    """The gradient of x is that of a float32 state: all patterns of 16 bits, ties between two, and what is beside."""
    run, device = way
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32)
    places = torch.tensor([0, 0x0FFF, 0x1000, 0x1001, 0x7FFF, 0x8000, 0x8001, 0xFFFF])
    values = ((bits.repeat_interleave(8) << 16) | places.repeat(2**16).int()).view(torch.float32)
    leaf = torch.zeros(1, 1, len(values), dtype=dtype, device=device, requires_grad=True)
    _, state = run(Cell(lambda x: x + 0.0), leaf, None)
    (gx,) = torch.autograd.grad(state["v"], [leaf], values.to(device)[None])
    found, expected = gx.cpu()[0, 0], values.to(dtype)
    assert torch.equal(found.isnan(), expected.isnan())
    assert torch.equal(found.nan_to_num(7.0), expected.nan_to_num(7.0))


FUNCTIONS = [name for name in NEURONS if not is_exact(NEURONS[name](2, 4))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_spikes_flip_no_more_often_than_eager_ones(name: str, way: tuple[Run, str]) -> None:
    """Against float64: neurons with another spike anywhere, and the error of the states of those without.

    Flips are too few for a close comparison. What makes them is the membrane's error, of which there is plenty.
    """
    run, device = way
    T, N = 8, 200_000 if device == "cpu" else 8_000_000
    cell = Fixed(NEURONS[name](T, 4).to(device), "cuda")
    x = (0.9 * torch.randn(T, 1, 4, N // 4, generator=torch.Generator().manual_seed(1)) + 0.5).to(device)
    exact, ideal = reference.run(Fixed(cell.neuron, "reference", torch.float64), x.double(), None)
    flips, errors = [], []
    with torch.no_grad():
        for spikes, state in (run(cell, x, None), reference.run(cell, x, None)):
            same = (spikes == exact).all(0)
            flips.append((~same).sum().item())
            errors.append({key: (value - ideal[key]).abs()[same].mean().item() for key, value in state.items()})
    ours, eagers = flips
    assert ours <= eagers + 4 * math.sqrt(eagers + 1)
    for key in ideal:
        assert errors[0][key] <= (1.25 if key == "v" else 2) * errors[1][key] + 1e-12, (key, errors)


def test_states_may_lie_anywhere(way: tuple[Run, str]) -> None:
    """A GPU reads four numbers of a state at once, where their address is a multiple of 16."""
    run, device = way
    cell = Fixed(NEURONS["clif"](4, 4).to(device), "cuda")
    memory = torch.linspace(-1, 1, 2 * 4 * 16 + 1).to(device)
    x = torch.linspace(-1, 2, 4 * 2 * 4 * 16).view(4, 2, 4, 16).to(device)
    found = []
    for start in (0, 1):
        v = memory.roll(start)[start : start + 128].view(2, 4, 16).detach().requires_grad_()
        assert (v.data_ptr() % 16 == 0) == (start == 0)
        s, state = run(cell, x, {"v": v, "m": v})
        found.append([s, state["v"].detach(), *torch.autograd.grad(state["v"].sum() + s.sum(), [v])])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("name", NEURONS)
def test_what_decides_spikes_is_left_as_it_is(name: str) -> None:
    program = trace(NEURONS[name](3, 4))
    loose = loosened(program, range(len(program.coefficients)))
    exact = [needed([one.spikes, *one.next_states]) for one in (program, loose)]
    before, now = ([(node.op, [a.op for a in node.inputs]) for node in nodes] for nodes in exact)
    assert now == before
    gradients = needed([loose.grad_x, *loose.grad_states, *loose.grad_coefficients], given=exact[1])
    assert not {node.op for node in gradients} & {"reciprocal", "div.Tensor", "sigmoid_backward", "tanh_backward"}
    assert "fma" in {node.op for node in gradients}
