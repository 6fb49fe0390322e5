"""What step does not read costs nothing; coefficients() runs once; gradients are None where the reference's are."""

from __future__ import annotations

import copy
import gc
import resource
import weakref
from typing import Any

import pytest
import torch
from reading import Neuron, Said, compare, outcome
from torch import Tensor, nn
from torch.nn.utils import prune

from snnbench.kernels import plans, run
from snnbench.neurons import DALIF, GLIF, LIF, PLIF


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """One entry for each tracing of the test."""
    found: list[Any] = []
    monkeypatch.setattr(plans, "traced", lambda *given, own=plans.traced: found.append(given) or own(*given))
    return found


def store(neuron: Any, given: Any, spikes: Tensor) -> None:
    neuron.spikes, neuron.calls = spikes, neuron.calls + 1


def test_a_hook_that_stores_outputs_costs_nothing(traced: list[Any]) -> None:
    network = nn.Sequential(nn.Linear(64, 64), LIF(tau=2.03125), nn.Linear(64, 64), PLIF(tau=2.03125))
    for neuron in (network[1], network[3]):
        neuron.calls = 0
        neuron.register_forward_hook(store)
    x = torch.randn(4, 256, 64)

    def step(times: int) -> int:
        for _ in range(times):
            network(x).sum().backward()
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB

    before = step(50)
    assert step(450) - before < 8 * 4 * 256 * 64 * 4 / 1024, "as much as eight calls would keep"
    assert network[1].calls == 500
    assert len(traced) <= 2  # a test before may have traced the same


@pytest.mark.parametrize("shape", [(4, 2, 5), (3, 2, 3), (4,), (0, 2, 3), (4, 2, 5, 3)])
def test_a_call_of_the_wrong_shape_says_nothing_about_the_step(shape: tuple[int, ...]) -> None:
    class Gated(GLIF):
        pass

    neuron = Gated(T=4, channels=3)
    with pytest.raises(ValueError, match="Gated"):
        neuron(torch.randn(shape))
    assert plans.plan_of(neuron, torch.randn(4, 5, 3), neuron.coefficients()).obstacle == ""


def test_nothing_is_kept_alive() -> None:
    def use() -> list[Any]:
        neuron = Neuron()
        neuron.drive = lambda x: x * neuron.buffer.item() * neuron.config.inner.value * neuron.layer.gain
        compare(neuron, torch.randn(3, 2, 4))
        spikes = neuron(torch.randn(3, 2, 4, requires_grad=True))
        parts = (neuron, neuron.buffer, neuron.config, neuron.layer, neuron.drive, spikes)
        return [weakref.ref(part) for part in parts]

    alive = use()
    gc.collect()
    assert [part() for part in alive] == [None] * len(alive)


def test_copies_replicas_and_pruning_do_not_trace_anew(traced: list[Any]) -> None:
    x = torch.randn(4, 2, 5)
    neuron = DALIF(v_th=0.53125)
    compare(neuron, x)
    for _ in range(3):
        compare(copy.deepcopy(neuron), x)
        replica = neuron._replicate_for_data_parallel()
        replica._parameters = {k: v.detach().clone().requires_grad_() for k, v in neuron._parameters.items()}
        compare(replica, x)
    neuron.mask = torch.ones(5)
    neuron.set_progress(0.5)
    compare(neuron, x)
    assert len(traced) == 1
    prune.custom_from_mask(neuron, "alpha", torch.tensor(1.0))
    for _ in range(3):
        neuron(x)
    assert len(traced) <= 2


def test_what_changes_in_every_call_is_left_to_the_reference(traced: list[Any], said: Said) -> None:
    neuron, x = LIF(), torch.randn(3, 2, 4)
    for call in range(2 * plans.RESTLESS):
        neuron.tau = 2 + 0.001 * call
        compare(neuron, x)
    assert len(traced) <= plans.RESTLESS + 2
    assert "self.tau" in said.line()


class Drawing(LIF):
    """Draws in coefficients(), and counts."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.calls = 0
        self.gain = nn.Parameter(torch.tensor(1.5))

    def coefficients(self) -> dict[str, Tensor]:
        self.calls += 1
        return {"gain": self.gain * torch.rand(())}

    def step(self, x: Tensor, state: Any, c: Any, spike: Any) -> Any:
        return super().step(c["gain"] * x, state, c, spike)


@pytest.mark.parametrize("engine", ["auto", "cpu"])
def test_coefficients_are_asked_for_once_a_call(engine: str) -> None:
    x, results = torch.randn(4, 2, 5), {}
    for one in (engine, "reference"):
        torch.manual_seed(0)
        neuron = Drawing(tau=2.09375, engine=one)
        results[one] = [neuron(x), neuron(x), torch.rand(3)]
        assert neuron.calls == 2
    assert all(torch.equal(a, b) for a, b in zip(results[engine], results["reference"], strict=True))


class Parts(LIF):
    """Coefficients of which some have no part in the spikes."""

    states = ("v", "w")
    names = ("used", "unused", "detached", "kept", "zero")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name in self.names:
            setattr(self, name, nn.Parameter(torch.tensor(0.75)))

    def coefficients(self) -> dict[str, Tensor]:
        return {name: getattr(self, name).sigmoid() for name in self.names}

    def step(self, x: Tensor, state: Any, c: Any, spike: Any) -> Any:
        h = c["used"] * state["v"] + x * c["detached"].detach() + 0.1 * state["w"] + c["zero"].sign()
        s = spike(h - self.v_th)
        return s, {"v": self.reset(h, s), "w": c["kept"] * s}


@pytest.mark.parametrize("T", [1, 2, 4])
@pytest.mark.parametrize("last", [False, True])
def test_gradients_are_none_where_the_references_are(T: int, last: bool) -> None:
    x = torch.randn(T, 2, 5)
    gradients = []
    for engine in ("reference", "cpu"):
        neuron = Parts(engine=engine)
        s, state = run(neuron, x, last=last)
        (s.sum() + (state["w"].sum() if last else 0)).backward()
        gradients.append([parameter.grad for parameter in neuron.parameters()])
    assert [g is None for g in gradients[0]] == [g is None for g in gradients[1]]
    for a, b in zip(*gradients, strict=True):
        assert a is None or torch.allclose(a, b, atol=1e-6)


def test_adamw_leaves_an_unused_coefficient() -> None:
    neuron = Parts(engine="cpu")
    optimizer = torch.optim.AdamW(neuron.parameters(), lr=0.1, weight_decay=0.1)
    neuron(torch.randn(4, 2, 5)).sum().backward()
    optimizer.step()
    assert neuron.unused.item() == neuron.detached.item() == 0.75
    assert neuron.used.item() != 0.75


def test_an_input_that_step_detaches() -> None:
    class Detaches(Neuron):
        def drive(self, x: Tensor) -> Tensor:
            return x.detach()

    for engine in ("reference", "cpu"):
        x, v = torch.randn(3, 2, 4, requires_grad=True), torch.rand(2, 4, requires_grad=True)
        Detaches(engine=engine).run(x, {"v": v})[0].sum().backward()
        assert x.grad is None
        assert v.grad is not None


COMPILED = {
    "number": (lambda s, x: x * s.number, lambda n: setattr(n, "number", 0.25)),
    "list": (lambda s, x: x * s.numbers[0], lambda n: n.numbers.__setitem__(0, 0.25)),
    "dict": (lambda s, x: x * s.table["deep"]["gain"], lambda n: n.table["deep"].update(gain=0.25)),
    "object": (lambda s, x: x * s.config.inner.value, lambda n: setattr(n.config.inner, "value", 0.25)),
    "submodule": (lambda s, x: x * s.layer.gain, lambda n: setattr(n.layer, "gain", 0.25)),
    "item": (lambda s, x: x * s.buffer.item(), lambda n: n.buffer.data.fill_(0.25)),
    "class": (lambda s, x: x * type(s).shared, lambda n: setattr(type(n), "shared", 0.25)),
    "surrogate": (lambda s, x: x, lambda n: object.__setattr__(n.spike, "alpha", 9.0)),
    "another surrogate": (lambda s, x: x, lambda n: setattr(n, "spike", LIF(surrogate="tanh").spike)),
    "sizes": (lambda s, x: x * x.shape[1], lambda n: None),
}


@pytest.mark.parametrize("case", COMPILED)
def test_what_changes_under_compile(case: str, compiled_kernels: None) -> None:
    drive, change = COMPILED[case]
    neuron = type("Compiled", (Neuron,), {"drive": drive, "shared": 1.5})()
    torch.compiler.reset()
    compiled = torch.compile(lambda x: neuron.run(x)[0], backend="eager", dynamic=False)

    def check(x: Tensor) -> list[Tensor]:
        x = x.requires_grad_()
        s, expected = compiled(x), outcome(neuron, x, "reference")
        (gradient,) = torch.autograd.grad((s * torch.arange(s.numel()).view_as(s)).sum(), x)
        with_state = torch.autograd.grad(
            (outcome_s := neuron.run(x)[0]).mul(torch.arange(s.numel()).view_as(s)).sum(), x
        )
        assert torch.equal(s, expected[0])
        assert torch.equal(s, outcome_s)
        torch.testing.assert_close(gradient, with_state[0], rtol=1e-5, atol=1e-5)
        return [s.detach(), gradient]

    x = torch.randn(4, 2, 3, 5)
    first = check(x)
    change(neuron)
    second = check(x) if case != "sizes" else check(torch.randn(4, 2, 6, 5))
    assert not all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_what_a_collection_of_garbage_runs_hides_nothing() -> None:
    """It runs within the step, where an exception is swallowed, and would end the following without a word."""
    neuron, x, before = LIF(tau=2.3125), torch.randn(3, 2, 4), gc.get_threshold()
    seen: list[str] = []

    def look_on(phase: str, info: dict[str, int]) -> None:
        seen.append(phase)

    gc.callbacks.append(look_on)
    try:
        gc.set_threshold(1)
        for v_th in (0.75, 1.25, 1.75):
            neuron.v_th = v_th
            compare(neuron, x)
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(look_on)
    assert seen
    assert gc.isenabled()
    assert plans.plan_of(neuron, x, neuron.coefficients()).program is not None


class Farewell:
    """Has code that runs when it is dropped, and fails there."""

    def __del__(self) -> None:
        raise ValueError("nobody hears this")


class Dropping(LIF):
    def step(self, x: Tensor, state: Any, c: Any, spike: Any) -> Any:
        Farewell()
        return super().step(x, state, c, spike)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_is_dropped_within_a_step_hides_nothing() -> None:
    neuron, x = Dropping(tau=2.1875), torch.randn(3, 2, 4)
    for v_th in (0.75, 1.25):
        neuron.v_th = v_th
        compare(neuron, x)
