"""PyTorch's transforms of neurons: per-sample gradients, forward mode, export, compiled autograd, parametrizations."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from compare import both, close, same
from reading import Said
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.utils import parametrize

from snnbench.errors import UserError
from snnbench.kernels.engines.cpu import CpuKernel
from snnbench.kernels.plans import plan_of
from snnbench.neurons import DALIF, GLIF, KLIF, LIF, PLIF
from tests.neurons.neuron_cases import NEURONS, make

X = torch.linspace(-1, 3, 72).view(3, 4, 6)
ENGINES = ["reference", "auto", "cpu"]


class Network(nn.Module):
    def __init__(self, neuron: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.neuron, self.last = nn.Linear(6, 5), neuron, nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.neuron(4 * self.first(x))).mean(0)


@pytest.mark.parametrize("name", NEURONS)
def test_per_sample_gradients(name: str) -> None:
    neuron = make(name, 3, channels=5)
    network = Network(neuron)
    parameters = dict(network.named_parameters())

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(network, parameters, (x.unsqueeze(1),)).square().sum()

    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 1))(parameters, X)
    for i in range(X.shape[1]):
        network.zero_grad()
        loss(parameters, X[:, i]).backward()
        for key, parameter in parameters.items():
            expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            assert torch.allclose(found[key][i], expected, rtol=1e-4, atol=1e-6), key


@pytest.mark.parametrize("engine", ENGINES)
def test_vmap_over_runs_and_over_neurons(engine: str) -> None:
    neuron = PLIF(engine=engine)
    runs = torch.stack([X, 2 * X])
    assert torch.equal(torch.func.vmap(neuron)(runs), torch.stack([neuron(x) for x in runs]))
    weights = torch.tensor([-1.0, 0.0, 1.0])
    ensemble = torch.func.vmap(lambda w: torch.func.functional_call(neuron, {"w": w}, (X,)))(weights)
    for w, s in zip(weights, ensemble, strict=True):
        assert torch.equal(torch.func.functional_call(neuron, {"w": w}, (X,)), s)


@pytest.mark.parametrize("engine", ENGINES)
def test_jacobians_of_all_kinds(engine: str) -> None:
    neuron, x = LIF(engine=engine), X[:, :2, :3].contiguous()
    rows = [torch.autograd.grad(LIF(engine="reference")(y).flatten()[i], y)[0] for i in range(x.numel())
            for y in [x.clone().requires_grad_()]]  # fmt: skip
    expected = torch.stack(rows).view(*x.shape, *x.shape)
    functional = torch.autograd.functional.jacobian
    for found in (
        functional(neuron, x),
        functional(neuron, x, vectorize=True),
        functional(neuron, x, vectorize=True, strategy="forward-mode"),
        torch.func.jacrev(neuron)(x),
        torch.func.jacfwd(neuron)(x),
    ):
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("engine", ENGINES)
def test_forward_mode_and_hessians(engine: str) -> None:
    neuron, reference = KLIF(engine=engine), KLIF(engine="reference")
    x, tangent = X[:, :2, :3].contiguous(), torch.linspace(-1, 1, 18).view(3, 2, 3)

    def energy(x: Tensor, n: Any = neuron) -> Tensor:
        return (n(x) * x).square().sum()

    with forward_ad.dual_level():
        s = neuron(forward_ad.make_dual(x, tangent))
        forward = forward_ad.unpack_dual(s).tangent
    other = torch.func.jvp(reference, (x,), (tangent,))[1]
    jacobian = torch.func.jacrev(reference)(x).view(18, 18)
    assert torch.allclose(forward.flatten(), jacobian @ tangent.flatten(), rtol=1e-4, atol=1e-6)
    assert torch.allclose(forward, other)
    hessian = torch.func.hessian(energy)(x)
    twice = torch.autograd.functional.hessian(energy, x)
    again = torch.func.jacrev(torch.func.jacrev(energy))(x)
    expected = torch.autograd.functional.hessian(lambda x: energy(x, reference), x)
    assert expected.abs().max() > 0
    for found in (hessian, twice, again):
        assert close(found, expected, 1e-5)


LOADED = """
import sys, torch
folder = sys.argv[1]
x = torch.load(f"{folder}/x.pt")
for name in sys.argv[2:]:
    s = torch.export.load(f"{folder}/{name}.pt2").module()(x.requires_grad_())
    (s * torch.arange(6.0)).sum().backward()
    torch.save((s.detach(), x.grad), f"{folder}/{name}.pt")
    x = x.detach()
"""


def test_exported_and_loaded_in_another_process(tmp_path: Path) -> None:
    neurons = {"lif": LIF(), "dalif": DALIF(engine="cpu"), "plif": PLIF(engine="reference")}
    torch.save(X, tmp_path / "x.pt")
    for i, (name, neuron) in enumerate(neurons.items()):
        torch.export.save(torch.export.export(neuron, (X,), strict=bool(i % 2)), tmp_path / f"{name}.pt2")
    command = [sys.executable, "-c", LOADED, str(tmp_path), *neurons]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name, neuron in neurons.items():
        s, g = torch.load(tmp_path / f"{name}.pt")
        x = X.clone().requires_grad_()
        (neuron(x) * torch.arange(6.0)).sum().backward()
        assert torch.equal(s, neuron(X)), name
        assert close(g, x.grad, 1e-6), name


@pytest.mark.parametrize("last", [False, True])
def test_compiled_autograd(last: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the kernel's backward in as an op."""
    torch._dynamo.reset()
    launches = []
    launch = CpuKernel.launch_backward
    monkeypatch.setattr(CpuKernel, "launch_backward", lambda self, *a: launches.append(1) or launch(self, *a))

    def call(neuron: Any) -> list[Tensor | None]:
        x = X.clone().requires_grad_()
        v = X[0].clone().requires_grad_()
        s, state = neuron.run(x, {"v": v}) if last else (neuron(x), {})
        loss = (s * torch.arange(6.0)).sum() + sum(u.square().sum() for u in state.values())
        if neuron.engine == "reference":
            loss.backward()
        else:
            with torch._dynamo.compiled_autograd._enable(torch.compile(backend="aot_eager", fullgraph=True)):
                loss.backward()
        return [s.detach(), x.grad, v.grad, *(p.grad for p in neuron.parameters())]

    same(*both(DALIF, call))
    assert launches


class Positive(nn.Module):
    def forward(self, value: Tensor) -> Tensor:
        return value.exp()


@pytest.mark.parametrize(("make_neuron", "name"), [(KLIF, "k"), (PLIF, "w"), (DALIF, "alpha")])
def test_parametrized_coefficients_are_fused(
    make_neuron: Any, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def call(neuron: Any) -> list[Tensor | None]:
        parametrize.register_parametrization(neuron, name, Positive())
        x = X.clone().requires_grad_()
        s = neuron(x)
        (s * torch.arange(6.0)).sum().backward()
        assert (s.grad_fn.name() == "FusedBackward") == (neuron.engine == "cpu")
        return [s.detach(), x.grad, *(p.grad for p in neuron.parameters())]

    same(*both(make_neuron, call))
    assert not [record for record in caplog.records if "reference engine" in record.getMessage()]


class Amplified(LIF):
    """Numbers among the coefficients: constants of a call."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.gain: Any = 1.5
        self.weight = nn.Parameter(torch.tensor(0.75))

    def coefficients(self) -> dict[str, Any]:
        return {"gain": self.gain, "two": 2, "weight": self.weight}

    def step(self, x: Tensor, state: Any, c: Any, spike: Any) -> Any:
        return super().step(x * c["gain"] * c["two"] * c["weight"], state, c, spike)


def test_numbers_among_the_coefficients() -> None:
    def call(neuron: Any) -> list[Tensor | None]:
        found = []
        for gain in (1.5, 0.5, True, torch.tensor(2.0)):
            neuron.gain = gain
            x = X.clone().requires_grad_()
            s = neuron(x)
            s.sum().backward()
            found += [s.detach(), x.grad, neuron.weight.grad.clone()]
        return found

    same(*both(Amplified, call))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("value", ["1.5", None, 1j, [1.0]])
def test_what_is_no_coefficient_is_named(engine: str, value: Any) -> None:
    neuron = Amplified(engine=engine)
    neuron.gain = value
    with pytest.raises(UserError, match=rf"Amplified: coefficient 'gain' is a {type(value).__name__}; it must be"):
        neuron(X)


def test_numbers_under_torch_compile() -> None:
    torch._dynamo.reset()
    neuron = Amplified()
    assert torch.equal(torch.compile(neuron, backend="eager", fullgraph=True)(X), neuron(X))


def test_compiled_per_sample_gradients() -> None:
    torch._dynamo.reset()
    neuron = LIF()
    per_sample = torch.func.vmap(torch.func.grad(lambda x: neuron(x.unsqueeze(1)).sum()), in_dims=1)
    compiled = torch.compile(per_sample, backend="aot_eager")
    assert torch.allclose(compiled(X), per_sample(X))


def test_glif_whose_time_is_batched() -> None:
    neuron = GLIF(T=3, channels=6)
    runs = torch.stack([X, -X])
    assert torch.equal(torch.func.vmap(neuron)(runs), torch.stack([neuron(x) for x in runs]))


def test_numbers_have_a_program_without_a_call() -> None:
    assert plan_of(Amplified()).obstacle == ""


def test_where_compiling_cannot_call_kernels_neurons_run_as_operations(said: Said) -> None:
    """PyTorch 2.11 takes what it compiles for an export; a line says so there, and none elsewhere."""
    torch.compiler.reset()
    says = torch.compile(lambda x: x + torch.compiler.is_exporting(), backend="eager")(torch.zeros(())).item()
    neuron = DALIF(v_th=0.9375)
    assert torch.equal(torch.compile(neuron, backend="eager", fullgraph=True)(X), neuron(X))
    lines = [record.getMessage() for record in said.caplog.records]
    assert any("cannot call kernels" in line for line in lines) == bool(says)
