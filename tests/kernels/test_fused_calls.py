"""Calls of every kind: what may be asked for, in which layout, under which of PyTorch's modes."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from compare import Fixed, close
from torch.utils.checkpoint import checkpoint

from snnbench.errors import UserError
from snnbench.kernels import run
from snnbench.neurons import DALIF, GLIF, LIF, PLIF


def both(make, call):
    """What `call` makes of a neuron by the reference and by the CPU engine."""
    torch.manual_seed(1)
    neuron = make()
    outcomes = []
    for engine in ("reference", "cpu"):
        twin = copy.deepcopy(neuron)
        twin.engine = engine
        outcomes.append(call(twin))
    return outcomes


def same(reference, fused, tolerance: float = 2e-6) -> None:
    assert len(reference) == len(fused)
    for a, b in zip(reference, fused, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.shape == b.shape
            assert a.dtype == b.dtype
            assert close(b, a, tolerance)


def test_constant_input_is_read_once_and_its_gradient_summed() -> None:
    def call(neuron):
        x0 = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
        x = x0.unsqueeze(0).expand(4, -1, -1, -1, -1)
        s = neuron(x)
        if neuron.engine == "cpu":
            assert s.grad_fn.next_functions[0][0].variable is x0
        s.mul(torch.arange(75.0).view(3, 5, 5)).sum().backward()
        return s.detach(), x0.grad, neuron.alpha.grad

    same(*both(DALIF, call))


@pytest.mark.parametrize("kind", ["leaf", "hooked", "view of another shape"])
def test_constant_input_whose_own_gradient_is_asked_for(kind: str) -> None:
    def call(neuron):
        x0 = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
        seen = []
        if kind == "leaf":
            x = x0.detach().expand(4, -1, -1, -1).requires_grad_()
        elif kind == "hooked":
            x = x0.expand(4, -1, -1, -1)
            x.register_hook(lambda g: seen.append(g.clone()))
        else:
            x = x0.view(2, 3, 3, 2).expand(4, -1, -1, -1, -1)
        neuron(x).mul(torch.arange(4.0).view(4, *[1] * (x.dim() - 1))).sum().backward()
        return [x.grad if kind == "leaf" else x0.grad, *seen]

    same(*both(LIF, call))


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.transpose(0, 1),
        lambda x: x[:, ::2],
        lambda x: x[..., 1:],
        lambda x: x.permute(4, 0, 1, 2, 3),
        lambda x: x.transpose(2, 3),
        lambda x: x[::2],
    ],
)
def test_strided_inputs(view) -> None:
    def call(neuron):
        x = torch.randn(4, 4, 3, 5, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
        s = neuron(view(x))
        s.mul(torch.linspace(-1, 2, s.shape[0]).view(-1, 1, 1, 1, 1)).sum().backward()
        return s.detach(), x.grad, neuron.w.grad

    same(*both(PLIF, call))


def test_channels_last_is_not_copied() -> None:
    x = torch.randn(8, 3, 5, 5).contiguous(memory_format=torch.channels_last).unflatten(0, (4, 2)).requires_grad_()
    s = GLIF(T=4, channels=3, engine="cpu")(x)
    assert s.stride() == x.stride()
    assert s.grad_fn.saved_tensors[0].data_ptr() == x.data_ptr()
    (g,) = torch.autograd.grad(s, x, torch.ones_like(s))
    assert g.stride() == x.stride()


@pytest.mark.parametrize("shape", [(3, 0, 4), (2, 2, 0, 3), (1, 0)])
def test_empty_inputs(shape: tuple[int, ...]) -> None:
    def call(neuron):
        x = torch.zeros(shape, requires_grad=True)
        s, state = neuron.run(x)
        (s.sum() + state["v"].sum()).backward()
        return s.detach(), state["v"].detach(), x.grad, neuron.alpha.grad

    same(*both(DALIF, call))


@pytest.mark.parametrize("shape", [(0, 5), (2, 5, 0, 3)])
def test_empty_constant_input(shape: tuple[int, ...]) -> None:
    def call(neuron):
        x = torch.zeros(shape, requires_grad=True)
        s = neuron(x.expand(3, *shape))
        s.sum().backward()
        return s.detach(), x.grad

    same(*both(LIF, call))


def test_a_first_call_under_checkpoint_is_fused() -> None:
    def call(neuron):
        x = torch.linspace(-1, 3, 60).view(3, 2, 5, 2).requires_grad_()
        s = checkpoint(neuron, x, use_reentrant=False)
        s.mul(torch.arange(20.0).view(2, 5, 2)).sum().backward()
        return s.detach(), x.grad, neuron.w.grad

    same(*both(lambda: PLIF(tau=1.9375, v_th=0.84375), call))  # constants that no other test has traced


def test_saved_tensors_that_come_back_in_another_layout() -> None:
    def call(neuron):
        x = torch.randn(6, 5, 4, 4, generator=torch.Generator().manual_seed(0))
        x = x.contiguous(memory_format=torch.channels_last).unflatten(0, (3, 2)).requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t.contiguous(), lambda t: t):
            s = neuron(x)
        s.mul(torch.linspace(-1, 2, 80).view(5, 4, 4)).sum().backward()
        return s.detach(), x.grad, neuron.tau.grad

    same(*both(lambda: GLIF(T=3, channels=5), call))


def test_nothing_is_saved_without_gradients() -> None:
    x = torch.randn(3, 2, 4)
    neuron = LIF(engine="cpu")
    assert neuron(x).grad_fn is None
    with torch.no_grad():
        assert PLIF(engine="cpu")(x.clone().requires_grad_()).grad_fn is None
    with torch.inference_mode():
        assert torch.equal(neuron(x), LIF(engine="reference")(x))


def test_saved_for_backward_is_x_alone() -> None:
    x = torch.randn(3, 2, 4, requires_grad=True)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        LIF(engine="cpu")(x)
    assert [t.data_ptr() for t in saved if t is not None] == [x.data_ptr()]


@pytest.mark.parametrize("wanted", ["x", "alpha", "state", "alpha state"])
def test_gradients_of_any_subset(wanted: str) -> None:
    def call(neuron):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(3, 2, 7, generator=generator).requires_grad_("x" in wanted.split())
        v = torch.randn(2, 7, generator=generator).requires_grad_("state" in wanted)
        neuron.alpha.requires_grad_("alpha" in wanted)
        neuron.beta.requires_grad_(False)
        s, state = neuron.run(x, {"v": v})
        (s.sum() + 2 * state["v"].sum()).backward()
        return x.grad, v.grad, neuron.alpha.grad, neuron.beta.grad

    same(*both(DALIF, call))


@pytest.mark.parametrize("part", ["spikes", "state"])
def test_gradients_through_one_output_only(part: str) -> None:
    def call(neuron):
        x = torch.randn(3, 2, 7, generator=torch.Generator().manual_seed(0)).requires_grad_()
        s, state = neuron.run(x)
        (s if part == "spikes" else state["v"]).sum().backward()
        return x.grad, neuron.alpha.grad

    same(*both(DALIF, call))


def test_some_states_given() -> None:
    def call(neuron):
        generator = torch.Generator().manual_seed(0)
        x, v = torch.randn(3, 2, 4, 5, generator=generator), torch.randn(2, 4, 5, generator=generator)
        s, state = neuron.run(x, {"v": v})
        return s, state["v"], state["s"]

    same(*both(lambda: GLIF(T=3, channels=4), lambda neuron: [t.detach() for t in call(neuron)]))


def test_streaming_in_chunks_is_running_at_once() -> None:
    neuron = DALIF(engine="cpu")
    x = torch.randn(7, 2, 5)
    whole, end = neuron.run(x)
    first, state = neuron.run(x[:3])
    second, state = neuron.run(x[3:], state)
    assert torch.equal(torch.cat([first, second]), whole)
    assert torch.equal(state["v"], end["v"])


def test_twice_in_one_graph() -> None:
    def call(neuron):
        x = torch.randn(4, 2, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
        (neuron(x) + neuron(2 * neuron(x))).sum().backward()
        return x.grad, neuron.w.grad

    same(*both(PLIF, call))


def test_autocast() -> None:
    def call(neuron):
        torch.manual_seed(0)
        layer = torch.nn.Linear(6, 5)
        x = torch.randn(3, 2, 6)
        with torch.autocast("cpu", torch.bfloat16):
            s = neuron(layer(x))
            assert s.dtype == torch.bfloat16
            s.sum().backward()
        return s.detach(), layer.weight.grad, neuron.w.grad

    same(*both(PLIF, call), tolerance=2e-2)


def test_checkpoint() -> None:
    neuron = DALIF(engine="cpu")
    x = torch.randn(4, 2, 9, requires_grad=True)
    plain = torch.autograd.grad(neuron(x).sum(), [x, neuron.alpha])
    again = torch.autograd.grad(checkpoint(neuron, x, use_reentrant=False).sum(), [x, neuron.alpha])
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


def test_second_derivatives_are_refused() -> None:
    x = torch.randn(2, 3, requires_grad=True)
    s = LIF(engine="cpu")(x)
    with pytest.raises(RuntimeError, match="engine='reference'"):
        torch.autograd.grad(s.sum(), x, create_graph=True)


def test_float64_runs_on_the_reference() -> None:
    x = torch.randn(3, 2, 4, dtype=torch.float64)
    assert LIF()(x).dtype == torch.float64
    with pytest.raises(UserError, match="float64"):
        LIF(engine="cpu")(x)


def test_functorch_runs_on_the_reference() -> None:
    x, neuron = torch.randn(3, 2, 4, requires_grad=True), LIF()
    (expected,) = torch.autograd.grad(neuron(x).sum(), x)
    assert torch.equal(torch.func.grad(lambda x: neuron(x).sum())(x.detach()), expected)


def test_a_changed_constant_is_seen() -> None:
    x = torch.rand(4, 2, 50) * 2
    neuron, reference = LIF(engine="cpu"), LIF(engine="reference")
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


def test_a_constant_changed_inside_a_list_is_seen() -> None:
    x = torch.rand(4, 2, 50)
    neuron = Scaled(engine="cpu")
    before = neuron(x)
    neuron.gains[0] = 5.0
    reference = Scaled(engine="reference")
    reference.gains = [5.0]
    assert torch.equal(neuron(x), reference(x))
    assert not torch.equal(neuron(x), before)


def test_copies_and_pickles_of_a_used_neuron() -> None:
    neuron = PLIF(engine="cpu")
    x = torch.randn(4, 2, 5)
    s = neuron(x)
    assert torch.equal(copy.deepcopy(neuron)(x), s)
    assert torch.equal(pickle.loads(pickle.dumps(neuron))(x), s)


def test_same_bits_for_any_number_of_threads() -> None:
    torch.manual_seed(0)
    cell = Fixed(GLIF(T=4, channels=96), "cpu")
    images = torch.randn(4, 8, 96, 12, 12)
    vectors = torch.randn(4, 700, 96)
    for x in (images, vectors):
        found = []
        for threads in (1, 2, 1, 2):
            torch.set_num_threads(threads)
            x = x.detach().requires_grad_()
            s, _ = run(cell, x)
            grads = torch.autograd.grad((s * x.detach()).sum(), [x, *cell.values.values()])
            found.append([s, *grads])
        torch.set_num_threads(2)
        for other in found[1:]:
            assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_large_tensors() -> None:
    """Beyond the last-level cache other store instructions are used."""
    torch.manual_seed(0)
    x = torch.randn(2, 6_000_001).mul_(1.5).requires_grad_()
    s = LIF(engine="cpu")(x)
    assert torch.equal(s, LIF(engine="reference")(x.detach()))
    (g,) = torch.autograd.grad(s.sum(), x)
    y = x.detach()[:, -50:].requires_grad_()
    assert torch.equal(g[:, -50:], torch.autograd.grad(LIF(engine="reference")(y).sum(), y)[0])
