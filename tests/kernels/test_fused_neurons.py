"""Every neuron of the project: the fused engines against the reference, outputs and all gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from compare import Fixed, close, magnitude, outcome
from torch import Tensor

from snnbench.kernels import run
from snnbench.kernels.codegen.graph import needed
from snnbench.kernels.codegen.ops import EXPENSIVE
from snnbench.kernels.codegen.trace import trace
from snnbench.neurons import SpikingNeuron
from tests.neurons.neuron_cases import CASES, STEPPED, make, moved, uneven

Build = Callable[[int, int], SpikingNeuron]
CHOSEN: dict[str, tuple[str, dict[str, object]]] = {
    "lif soft": ("lif", {"v_reset": None, "decay_input": False, "surrogate": "rectangle"}),
    "lif detached": ("lif", {"tau": 3.7, "v_reset": -0.3, "detach_reset": True, "surrogate": "triangle"}),
    "lif leak": ("lif", {"leak": 0.25, "surrogate": "sigmoid"}),
    "klif scaled": ("klif", {"k": 0.8, "scale_reset": True, "v_reset": None}),
    "glif layer": ("glif", {"channels": None}),
    "arlif hard": ("arlif", {"reset": "hard"}),
}
DEFAULTS = {name: (name, uneven(name)) for name in STEPPED}
FORMS = {f"form {case}": form for case, form in CASES.items() if form[0] in STEPPED and form[1]}


def builder(name: str, options: dict[str, object]) -> Build:
    """Makes the neuron for T timesteps of C channels, away from where its parameters start."""
    return lambda T, C: moved(make(name, T, **{"channels": C, **options}))


NEURONS = {case: builder(*form) for case, form in (DEFAULTS | CHOSEN).items()}
EVERY = NEURONS | {case: builder(*form) for case, form in FORMS.items()}
SHAPES = {"image": (2, 3, 7, 9), "rows": (3, 5, 9, 9), "vector": (5, 7), "one": (1, 1), "long": (2, 130, 3)}


def inputs(T: int, shape: tuple[int, ...], dtype: torch.dtype, states: tuple[str, ...], device: str = "cpu") -> tuple:
    generator = torch.Generator().manual_seed(T + len(shape))

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=generator).to(device)

    x = (1.2 * normal(T, *shape) + 0.3).to(dtype)
    return x, {k: 0.5 * normal(*shape) for k in states}, normal(T, *shape).to(dtype), normal(*shape)


def is_exact(neuron: SpikingNeuron, device: str = "cpu") -> bool:
    """Whether the step has no function that libraries round differently, such as exp: equal inputs, equal bits.

    On a GPU a division is one of them.
    """
    program = trace(neuron)
    nodes = needed([program.spikes, *program.next_states])
    rounded = EXPENSIVE | ({"div", "reciprocal"} if device == "cuda" else set())
    return all(node.op.split(".")[0] not in rounded for node in nodes)


def check(
    name: str,
    T: int,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    channels_last: bool = False,
    device: str = "cpu",
    engine: str = "",
) -> None:
    """An engine, that of `device`, against the reference; where these round differently, few spikes may be others."""
    engine = engine or device
    torch.manual_seed(3)
    neuron = EVERY[name](T, shape[1]).to(device)
    x, state, gs, g_final = inputs(T, shape, dtype, neuron.states, device)
    if channels_last:
        x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (T, shape[0]))
    exact, rounding = is_exact(neuron, device), 1e-6 if engine == "cpu" else 4e-6
    reference = outcome(Fixed(neuron, "reference"), x, state, gs, g_final)
    fused = outcome(Fixed(neuron, engine), x, state, gs, g_final)

    tolerance = tolerance_of(x, engine)
    assert fused.spikes.dtype == dtype
    flipped = (fused.spikes != reference.spikes).any(0)
    assert not flipped.any() or (engine != "cpu" and not exact and flipped.sum() <= 1 + flips(neuron, x, state))

    def alike(a: Tensor, b: Tensor, tolerance: float) -> bool:
        return close(a.masked_fill(flipped, 0), b.masked_fill(flipped, 0), tolerance)

    for key in state:
        assert fused.final[key].dtype == torch.float32
        assert alike(fused.final[key], reference.final[key], 0 if exact else rounding)
        assert alike(fused.grad_state[key], reference.grad_state[key], tolerance)
    assert fused.grad_x.stride() == x.stride()
    assert alike(fused.grad_x, reference.grad_x, tolerance if dtype == torch.float32 else 2**-7)
    assert set(fused.grad_coefficients) == set(reference.grad_coefficients)
    if not flipped.any():
        check_coefficients(neuron, fused.grad_coefficients, x, state, gs, g_final, engine)


def tolerance_of(x: Tensor, engine: str) -> float:
    """Of gradients. Of a few neurons, the largest may be that of a badly conditioned one; a GPU's exp is 2 ulp off."""
    return (1e-6 if x[0].numel() > 32 else 4e-6) * (1 if engine == "cpu" else 4)


def flips(neuron: SpikingNeuron, x: Tensor, state: dict[str, Tensor]) -> int:
    """Of how many neurons the spikes in float32 and those in float64 differ, by the reference."""
    narrow, _ = run(Fixed(neuron, "reference"), x, state)
    wide, _ = run(Fixed(neuron, "reference", torch.float64), x.double(), {k: v.double() for k, v in state.items()})
    return int((narrow != wide).any(0).sum())


def check_coefficients(
    neuron, grads: dict[str, Tensor], x: Tensor, state: dict, gs: Tensor, g_final: Tensor, engine: str = "cpu"
) -> None:
    wide = Fixed(neuron, "reference", torch.float64)
    expected = outcome(wide, x.double(), state, gs.double(), g_final.double())
    eager = outcome(Fixed(neuron, "reference"), x, state, gs, g_final)
    if not torch.equal(expected.spikes, eager.spikes.double()):
        return  # a membrane within rounding of its threshold: float64 is another trajectory
    sums = magnitude(wide, x, state, gs, g_final)
    tolerance = tolerance_of(x, engine)  # the rounding of a few terms is that of each
    for key, grad in grads.items():
        error, eagers = (
            (found.double() - expected.grad_coefficients[key]).abs() / (sums[key] + 1e-12 / tolerance)
            for found in (grad, eager.grad_coefficients[key])
        )
        # where float32 itself is further off, by terms that nearly cancel on the way, twice as far as eager is
        assert error.max() <= max(tolerance, 2 * eagers.max().item()), (key, error.max(), eagers.max())


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("name", NEURONS)
def test_all_gradients(name: str, device: str) -> None:
    check(name, 4, SHAPES["image"], torch.float32, device=device)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("name", ["lif", "dalif", "glif", "arlif"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(name: str, dtype: torch.dtype, device: str) -> None:
    check(name, 5, SHAPES["image"], dtype, device=device)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("name", ["lif", "glif", "clif"])
@pytest.mark.parametrize("T", [1, 33])
def test_other_lengths(name: str, T: int, device: str) -> None:
    check(name, T, SHAPES["image"], torch.float32, device=device)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("name", ["plif", "glif"])
@pytest.mark.parametrize("shape", SHAPES)
def test_other_shapes(name: str, shape: str, device: str) -> None:
    check(name, 4, SHAPES[shape], torch.float32, device=device)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("name", ["lif", "glif"])
def test_channels_last(name: str, device: str) -> None:
    check(name, 4, SHAPES["image"], torch.float32, channels_last=True, device=device)


@pytest.mark.slow
@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("T", [1, 2, 3, 7, 16, 33, 128])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_everything(name: str, T: int, dtype: torch.dtype, device: str) -> None:
    for shape in SHAPES.values():
        check(name, T, shape, dtype, device=device)
        if len(shape) == 4:
            check(name, T, shape, dtype, channels_last=True, device=device)
