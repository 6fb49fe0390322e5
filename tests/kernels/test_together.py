"""Neurons inside torch.compile and DistributedDataParallel."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing
from compare import normal
from torch import Tensor, nn

from snnbench.kernels.cell import State
from snnbench.kernels.plans import guards_of, plan_of
from snnbench.neurons import DALIF, LIF, PLIF
from snnbench.neurons.surrogate import Surrogate, make_surrogate
from tests.neurons.neuron_cases import NEURONS, make

T = 3


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.neurons = nn.ModuleList([make(name, T, channels=6) for name in NEURONS])
        self.layers = nn.ModuleList([nn.Linear(4 if i == 0 else 6, 6) for i in range(len(NEURONS))])

    def forward(self, x: Tensor) -> Tensor:
        for layer, neuron in zip(self.layers, self.neurons, strict=True):
            x = neuron(3 * layer(x))
        return x


def gradients(network: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor | None]]:
    network.zero_grad()
    s = network(x)
    (s * torch.linspace(-1, 1, 6, device=x.device)).sum().backward()
    return s.detach(), [p.grad for p in network.parameters()]


def test_a_network_of_every_neuron_compiles_without_a_break(device: str) -> None:
    torch.manual_seed(0)
    torch._dynamo.reset()
    network = Network().to(device)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    for batch in (2, 5, 3):
        x = normal(T, batch, 4, device=device)
        s, grads = gradients(network, x)
        s_compiled, grads_compiled = gradients(compiled, x)
        assert torch.equal(s, s_compiled)
        for a, b in zip(grads, grads_compiled, strict=True):
            assert (a is None) == (b is None)
            assert a is None or torch.allclose(a, b, rtol=1e-6, atol=1e-7)
    ops = torch._dynamo.utils.counters["aot_autograd"]
    assert ops["ok"] >= 1


@pytest.mark.slow
def test_inductor(device: str) -> None:
    torch.manual_seed(0)
    torch._dynamo.reset()
    network, x = Network().to(device), normal(T, 2, 4, device=device)
    s, grads = gradients(network, x)
    s_compiled, grads_compiled = gradients(torch.compile(network, fullgraph=True), x)
    assert (s != s_compiled).float().mean() < 0.01
    for a, b in zip(grads, grads_compiled, strict=True):
        assert a is None or torch.allclose(a, b, rtol=1e-3, atol=1e-4)


def test_compiled_code_runs_the_kernel(device: str, compiled_kernels: None) -> None:
    """Not the loop over time, which would be as right, and slow."""
    torch._dynamo.reset()
    seen: list[str] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
        seen.extend(
            str(node.target).removesuffix(".default") for node in graph.graph.nodes if node.op == "call_function"
        )
        return graph.forward

    torch.compile(PLIF().to(device), fullgraph=True, backend=backend)(normal(T, 2, 4, device=device))
    assert [name for name in seen if name.startswith("snnbench.")] == ["snnbench.forward"]


@pytest.mark.parametrize("name", NEURONS)
def test_every_fused_neuron_stays_fused_under_compile(name: str) -> None:
    """What its step reads can be looked out for: all of it hangs on the neuron, or is code."""
    neuron = make(name, T)
    assert plan_of(neuron).program is None or guards_of(neuron) is not None


class Helped(LIF):
    """A helper of its own, whose defaults belong to its code."""

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
        return super().step(self.scaled(x) + shifted(x), state, c, spike)

    def scaled(self, x: Tensor, by: float = 0.5, *, twice: bool = True) -> Tensor:
        return x * by * (2 if twice else 1)


def shifted(x: Tensor, by: float = 0.25, *, places: tuple[float, ...] = (0.5,)) -> Tensor:
    return x * by + places[0]


def test_defaults_are_code(compiled_kernels: None) -> None:
    torch._dynamo.reset()
    neuron, x = Helped(), normal(T, 2, 4, device="cpu")
    assert guards_of(neuron)
    compiled = torch.compile(neuron, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), Helped(engine="reference")(x))
    neuron.tau = 5.0
    assert torch.equal(compiled(x), Helped(tau=5.0, engine="reference")(x))


def helper(by: float) -> Callable[[Tensor], Tensor]:
    def scaled(x: Tensor, by: float = by) -> Tensor:
        return x * by

    return scaled


@pytest.mark.parametrize("change", [lambda: helper(2.0), lambda: torch.tanh, lambda: Other])
def test_code_that_is_an_attribute_may_be_exchanged(change: Callable[[], Any]) -> None:
    torch._dynamo.reset()
    neuron, x = Helped(), normal(T, 2, 4, device="cpu")
    neuron.scaled = helper(1.0)
    compiled = torch.compile(neuron, backend="aot_eager")
    for _ in range(2):
        assert torch.equal(compiled(x), neuron(x))
        neuron.scaled = change()
    assert guards_of(neuron) is None


class Other:
    def __new__(cls, x: Tensor) -> Tensor:  # type: ignore[misc]
        return x / 2


def test_mutable_defaults_are_not() -> None:
    """They may change: the loop over time, whose reads torch.compile looks out for itself."""

    class Mutable(LIF):
        def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
            return super().step(self.scaled(x), state, c, spike)

        def scaled(self, x: Tensor, by: list[float] = [0.5]) -> Tensor:  # noqa: B006
            return x * by[0]

    assert guards_of(Mutable()) is None


def test_compiled_code_sees_changed_constants(device: str) -> None:
    torch._dynamo.reset()
    neuron, x = LIF(), torch.rand(4, 2, 30, device=device) * 2
    x.requires_grad_()
    compiled = torch.compile(neuron, fullgraph=True, backend="aot_eager")

    def check() -> None:
        (a,), (b,) = (torch.autograd.grad(f(x).sum(), x) for f in (neuron, compiled))
        assert torch.equal(neuron(x), compiled(x))
        assert torch.equal(a, b)

    check()
    neuron.tau = 7.0
    check()
    neuron.spike = make_surrogate({"name": "atan", "alpha": 5.0})
    check()


def test_compiled_state_and_strides(device: str, compiled_kernels: None) -> None:
    torch._dynamo.reset()
    neuron = DALIF().to(device)
    compiled = torch.compile(neuron.run, fullgraph=True, backend="aot_eager")
    wide, frame = normal(2, 4, 5, device=device), normal(2, 5, device=device)
    for x in (wide.transpose(0, 1).contiguous(), wide.transpose(0, 1), frame.expand(4, 2, 5)):
        v = normal(2, 5, device=device, seed=1).requires_grad_()
        outcomes = []
        for run in (neuron.run, compiled):
            s, state = run(x, {"v": v})
            outcomes.append([s, state["v"], *torch.autograd.grad(s.sum() + state["v"].sum(), [v, neuron.alpha])])
        assert all(torch.equal(a, b) for a, b in zip(*outcomes, strict=True))


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(0)
    network = Network()
    x = torch.load(f"{folder}/x.pt")
    parallel = nn.parallel.DistributedDataParallel(network)
    _, grads = gradients(parallel, x[:, 3 * rank : 3 * rank + 3])
    if rank == 0:
        torch.save(grads, f"{folder}/grads.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_are_one_with_the_whole_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)  # the children import compare, and scripts/ has another
    torch.manual_seed(0)
    network = Network()
    x = torch.randn(T, 6, 4)
    torch.save(x, tmp_path / "x.pt")
    gradients(copy.deepcopy(network), x)  # compiles once, for both processes
    torch.multiprocessing.spawn(work, args=(str(tmp_path),), nprocs=2)
    _, expected = gradients(network, x)
    found = torch.load(tmp_path / "grads.pt")
    assert os.environ["SNNBENCH_CACHE"]
    for a, b in zip(expected, found, strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.allclose(a / 2, b, rtol=1e-5, atol=1e-6)
