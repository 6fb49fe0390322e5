"""Inputs of every layout and size: read as they lie, with right gradients, the same bits for any number of threads."""

from __future__ import annotations

import pytest
import torch
from compare import Fixed, both, close, normal, same

from snnbench.kernels import run
from snnbench.neurons import DALIF, GLIF, LIF, PLIF


def test_constant_input_is_read_once_and_its_gradient_summed(device: str) -> None:
    def call(neuron):
        x0 = normal(2, 3, 5, 5, device=device).requires_grad_()
        x = x0.expand(4, -1, -1, -1, -1)
        s = neuron(x)
        s.mul(torch.arange(75.0, device=device).view(3, 5, 5)).sum().backward()
        return s.detach(), x0.grad, neuron.alpha.grad

    same(*both(DALIF, call, device))


@pytest.mark.parametrize("kind", ["leaf", "hooked", "view of another shape"])
def test_constant_input_whose_own_gradient_is_asked_for(kind: str, device: str) -> None:
    def call(neuron):
        x0 = normal(2, 3, 6, device=device).requires_grad_()
        seen = []
        if kind == "leaf":
            x = x0.detach().expand(4, -1, -1, -1).requires_grad_()
        elif kind == "hooked":
            x = x0.expand(4, -1, -1, -1)
            x.register_hook(lambda g: seen.append(g.clone()))
        else:
            x = x0.view(2, 3, 3, 2).expand(4, -1, -1, -1, -1)
        steps = torch.arange(4.0, device=device).view(4, *[1] * (x.dim() - 1))
        neuron(x).mul(steps).sum().backward()
        return [x.grad if kind == "leaf" else x0.grad, *seen]

    same(*both(LIF, call, device))


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
def test_strided_inputs(view, device: str) -> None:
    def call(neuron):
        x = normal(4, 4, 3, 5, 6, device=device).requires_grad_()
        s = neuron(view(x))
        s.mul(torch.linspace(-1, 2, s.shape[0], device=device).view(-1, 1, 1, 1, 1)).sum().backward()
        return s.detach(), x.grad, neuron.w.grad

    same(*both(PLIF, call, device))


def test_channels_last_is_not_copied(device: str) -> None:
    x = torch.randn(8, 3, 5, 5, device=device).contiguous(memory_format=torch.channels_last)
    x = x.unflatten(0, (4, 2)).requires_grad_()
    s = GLIF(T=4, channels=3, engine=device).to(device)(x)
    assert s.stride() == x.stride()
    assert s.grad_fn.saved_tensors[0].data_ptr() == x.data_ptr()
    (g,) = torch.autograd.grad(s, x, torch.ones_like(s))
    assert g.stride() == x.stride()


@pytest.mark.parametrize("shape", [(3, 0, 4), (2, 2, 0, 3), (1, 0)])
def test_empty_inputs(shape: tuple[int, ...], device: str) -> None:
    def call(neuron):
        x = torch.zeros(shape, device=device, requires_grad=True)
        s, state = neuron.run(x)
        (s.sum() + state["v"].sum()).backward()
        return s.detach(), state["v"].detach(), x.grad, neuron.alpha.grad

    same(*both(DALIF, call, device))


@pytest.mark.parametrize("shape", [(0, 5), (2, 5, 0, 3)])
def test_empty_constant_input(shape: tuple[int, ...], device: str) -> None:
    def call(neuron):
        x = torch.zeros(shape, device=device, requires_grad=True)
        s = neuron(x.expand(3, *shape))
        s.sum().backward()
        return s.detach(), x.grad

    same(*both(LIF, call, device))


def test_saved_tensors_that_come_back_in_another_layout(device: str) -> None:
    def call(neuron):
        x = normal(6, 5, 4, 4, device=device)
        x = x.contiguous(memory_format=torch.channels_last).unflatten(0, (3, 2)).requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t.contiguous(), lambda t: t):
            s = neuron(x)
        s.mul(torch.linspace(-1, 2, 80, device=device).view(5, 4, 4)).sum().backward()
        return s.detach(), x.grad, neuron.tau.grad

    same(*both(lambda: GLIF(T=3, channels=5), call, device))


def test_same_bits_for_any_number_of_cpu_threads() -> None:
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


def test_large_tensors(device: str) -> None:
    """Beyond the last-level cache other store instructions are used."""
    torch.manual_seed(0)
    x = torch.randn(2, 6_000_001, device=device).mul_(1.5).requires_grad_()
    s = LIF(engine=device)(x)
    assert torch.equal(s, LIF(engine="reference")(x.detach()))
    (g,) = torch.autograd.grad(s.sum(), x)
    y = x.detach()[:, -50:].requires_grad_()
    (expected,) = torch.autograd.grad(LIF(engine="reference")(y).sum(), y)
    assert close(g[:, -50:], expected, 0 if device == "cpu" else 1e-6)
