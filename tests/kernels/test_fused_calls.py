"""What may be asked of a call: gradients of any part, states, changed constants, under which of PyTorch's modes."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from compare import both, close, normal, same
from torch.utils.checkpoint import checkpoint

from snnbench.errors import UserError
from snnbench.neurons import DALIF, GLIF, LIF, PLIF


def test_a_first_call_under_checkpoint_is_fused(device: str) -> None:
    def call(neuron):
        x = torch.linspace(-1, 3, 60, device=device).view(3, 2, 5, 2).requires_grad_()
        s = checkpoint(neuron, x, use_reentrant=False)
        s.mul(torch.arange(20.0, device=device).view(2, 5, 2)).sum().backward()
        return s.detach(), x.grad, neuron.w.grad

    same(*both(lambda: PLIF(tau=1.9375, v_th=0.84375), call, device))  # constants that no other test has traced


def test_nothing_is_saved_without_gradients(device: str) -> None:
    x = torch.randn(3, 2, 4, device=device)
    neuron = LIF(engine=device)
    assert neuron(x).grad_fn is None
    with torch.no_grad():
        assert PLIF(engine=device).to(device)(x.clone().requires_grad_()).grad_fn is None
    with torch.inference_mode():
        assert torch.equal(neuron(x), LIF(engine="reference")(x))


def test_saved_for_backward_is_x_alone(device: str) -> None:
    x = torch.randn(3, 2, 4, device=device, requires_grad=True)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        LIF(engine=device)(x)
    assert [t.data_ptr() for t in saved if t is not None] == [x.data_ptr()]


@pytest.mark.parametrize("wanted", ["x", "alpha", "state", "alpha state"])
def test_gradients_of_any_subset(wanted: str, device: str) -> None:
    def call(neuron):
        x = normal(3, 2, 7, device=device).requires_grad_("x" in wanted.split())
        v = normal(2, 7, device=device, seed=1).requires_grad_("state" in wanted)
        neuron.alpha.requires_grad_("alpha" in wanted)
        neuron.beta.requires_grad_(False)
        s, state = neuron.run(x, {"v": v})
        (s.sum() + 2 * state["v"].sum()).backward()
        return x.grad, v.grad, neuron.alpha.grad, neuron.beta.grad

    same(*both(DALIF, call, device))


@pytest.mark.parametrize("part", ["spikes", "state"])
def test_gradients_through_one_output_only(part: str, device: str) -> None:
    def call(neuron):
        x = normal(3, 2, 7, device=device).requires_grad_()
        s, state = neuron.run(x)
        (s if part == "spikes" else state["v"]).sum().backward()
        return x.grad, neuron.alpha.grad

    same(*both(DALIF, call, device))


def test_some_states_given(device: str) -> None:
    def call(neuron):
        s, state = neuron.run(normal(3, 2, 4, 5, device=device), {"v": normal(2, 4, 5, device=device, seed=1)})
        return s, state["v"], state["s"]

    same(*both(lambda: GLIF(T=3, channels=4), lambda neuron: [t.detach() for t in call(neuron)], device))


def test_streaming_in_chunks_is_running_at_once(device: str) -> None:
    neuron = DALIF(engine=device).to(device)
    x = torch.randn(7, 2, 5, device=device)
    whole, end = neuron.run(x)
    first, state = neuron.run(x[:3])
    second, state = neuron.run(x[3:], state)
    assert torch.equal(torch.cat([first, second]), whole)
    assert torch.equal(state["v"], end["v"])


def test_twice_in_one_graph(device: str) -> None:
    def call(neuron):
        x = normal(4, 2, 9, device=device).requires_grad_()
        (neuron(x) + neuron(2 * neuron(x))).sum().backward()
        return x.grad, neuron.w.grad

    same(*both(PLIF, call, device))


def test_autocast(device: str) -> None:
    def call(neuron):
        torch.manual_seed(0)
        layer = torch.nn.Linear(6, 5).to(device)
        x = normal(3, 2, 6, device=device)
        with torch.autocast(device, torch.bfloat16):
            s = neuron(layer(x))
            assert s.dtype == torch.bfloat16
            s.sum().backward()
        return s.detach(), layer.weight.grad, neuron.w.grad

    same(*both(PLIF, call, device), tolerance=2e-2)


def test_checkpoint(device: str) -> None:
    neuron = DALIF(engine=device).to(device)
    x = torch.randn(4, 2, 9, device=device, requires_grad=True)
    plain = torch.autograd.grad(neuron(x).sum(), [x, neuron.alpha])
    again = torch.autograd.grad(checkpoint(neuron, x, use_reentrant=False).sum(), [x, neuron.alpha])
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


def test_second_derivatives(device: str) -> None:
    def call(neuron):
        x = torch.linspace(-1, 3, 36, device=device).view(3, 2, 6).requires_grad_()
        s, state = neuron.run(x)
        loss = (s * x).sum() + state["v"].sum()
        (g,) = torch.autograd.grad(loss, x, create_graph=True)
        return g.detach(), *torch.autograd.grad(g.square().sum(), [x, neuron.alpha])

    same(*both(DALIF, call, device))


def test_a_neuron_changed_before_a_second_derivative_is_named(device: str) -> None:
    neuron, x = LIF(engine=device), torch.randn(2, 3, device=device, requires_grad=True)
    s = neuron(x)
    neuron.tau = 7.0
    with pytest.raises(RuntimeError, match="LIF was changed between forward and backward"):
        torch.autograd.grad(s.sum(), x, create_graph=True)


def test_float64_runs_on_the_reference(device: str) -> None:
    x = torch.randn(3, 2, 4, device=device, dtype=torch.float64)
    assert LIF()(x).dtype == torch.float64
    with pytest.raises(UserError, match="float64"):
        LIF(engine=device)(x)


def test_functorch_runs_on_the_reference(device: str) -> None:
    x, neuron = torch.randn(3, 2, 4, device=device, requires_grad=True), LIF()
    (expected,) = torch.autograd.grad(neuron(x).sum(), x)
    found = torch.func.grad(lambda x: neuron(x).sum())(x.detach())
    assert close(found, expected, 0 if device == "cpu" else 1e-6)


def test_a_changed_constant_is_seen(device: str) -> None:
    x = torch.rand(4, 2, 50, device=device) * 2
    neuron, reference = LIF(engine=device), LIF(engine="reference")
    before = neuron(x)
    for key, value in (("tau", 5.0), ("v_th", 0.4), ("v_reset", None)):
        setattr(neuron, key, value)
        setattr(reference, key, value)
        after = neuron(x)
        assert torch.equal(after, reference(x))
        assert not torch.equal(after, before)
        before = after


class Scaled(LIF):
    def __init__(self, **options):
        super().__init__(**options)
        self.gains = [1.0, 1.0]

    def step(self, x, state, c, spike):
        return super().step(self.gains[0] * x, state, c, spike)


def test_a_constant_changed_inside_a_list_is_seen(device: str) -> None:
    x = torch.rand(4, 2, 50, device=device)
    neuron = Scaled(engine=device)
    before = neuron(x)
    neuron.gains[0] = 5.0
    reference = Scaled(engine="reference")
    reference.gains = [5.0]
    assert torch.equal(neuron(x), reference(x))
    assert not torch.equal(neuron(x), before)


def test_copies_and_pickles_of_a_used_neuron(device: str) -> None:
    neuron = PLIF(engine=device).to(device)
    x = torch.randn(4, 2, 5, device=device)
    s = neuron(x)
    assert torch.equal(copy.deepcopy(neuron)(x), s)
    assert torch.equal(pickle.loads(pickle.dumps(neuron))(x), s)
