"""Convolutions by Winograd's products, beside PyTorch's in float64 and in float32; outputs that are computed again."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from snnbench.backbones.layers import Conv2d
from snnbench.backbones.step import set_step
from snnbench.kernels.spikes import convolution, dense, library
from snnbench.kernels.spikes.convolution import again, convolve

LAYOUTS = {"first": torch.contiguous_format, "last": torch.channels_last}
pytestmark = pytest.mark.skipif(library.library() is None, reason="no C++ compiler")


def values(*shape, layout="last", seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).contiguous(memory_format=LAYOUTS[layout])


def spikes(*shape, density=0.1, layout="first", seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator) < density).float().contiguous(memory_format=LAYOUTS[layout])


def layer(*, channels=64, outputs=64, **options):
    torch.manual_seed(0)
    return Conv2d(channels, outputs, 3, **{"padding": 1} | options)


@pytest.fixture
def multiplied(monkeypatch):
    """The names of the kernels that were called."""
    seen = []
    monkeypatch.setattr(dense, "call", lambda name, *rest: seen.append(name) or library.call(name, *rest))
    return seen


needs_instructions = pytest.mark.skipif(not dense._has_instructions(), reason="no fused multiply-add")


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 3),
    channels=st.sampled_from([16, 48, 64, 80, 128]),
    outputs=st.sampled_from([16, 32, 64, 112]),
    height=st.integers(2, 11),
    width=st.integers(2, 11),
    padding=st.integers(0, 2),
    bias=st.booleans(),
    content=st.sampled_from(["values", "spikes"]),
)
def test_any_shape(n, channels, outputs, height, width, padding, bias, content):
    if min(height, width) + 2 * padding < 3:
        return
    x = values(n, channels, height, width)
    x = x if content == "values" else (x > -0.5).float()
    weight, offset = values(outputs, channels, 3, 3, layout="first"), values(outputs, 1, 1, 1)[:, 0, 0, 0]
    found, gy = [], None
    for call, dtype in (
        (convolve, torch.float32),
        (functional.conv2d, torch.float32),
        (functional.conv2d, torch.float64),
    ):
        leaves = [
            None if t is None else t.detach().to(dtype).requires_grad_() for t in (x, weight, offset if bias else None)
        ]
        y = call(*leaves, 1, padding)
        if y is None:  # small, or channels do not lie last
            return
        gy = torch.randn(y.shape) if gy is None else gy
        y.backward(gy.to(y))
        found.append([y.detach(), *(t.grad for t in leaves if t is not None)])
    for own, usual, exact in zip(*found, strict=True):
        largest = exact.abs().max().clamp(min=1e-30)
        assert (own - exact).abs().max() / largest <= max(2 * (usual - exact).abs().max() / largest, 2e-6)
    assert found[0][0].stride() == found[1][0].stride() or 1 in found[0][0].shape


@needs_instructions
@pytest.mark.parametrize("threads", [2, 3])
def test_no_thread_count_shows(threads):
    module, x, before, found = (
        layer(outputs=96),
        values(6, 64, 24, 23)[None].requires_grad_(),
        torch.get_num_threads(),
        [],
    )
    try:
        for number in (1, threads):
            torch.set_num_threads(number)
            y = module(x)
            found.append((y, *torch.autograd.grad(y, (x, module.weight), y)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@needs_instructions
def test_where_it_runs(multiplied):
    def kernels(module, x):
        multiplied.clear()
        x = x[None].requires_grad_()
        module(x).sum().backward()
        return list(multiplied)

    all_ = ["multiply", "multiply_back", "multiply_weight"]
    assert kernels(layer(), values(2, 64, 8, 8)) == all_
    assert kernels(layer(), spikes(2, 64, 8, 8, layout="last")) == all_[1:2]
    assert kernels(layer(), spikes(2, 64, 8, 8, density=0.9, layout="last")) == all_
    assert kernels(layer(channels=16, outputs=16), spikes(2, 16, 8, 8, layout="last")) == all_
    assert kernels(layer(), values(2, 64, 8, 8, layout="first")) == []
    assert kernels(layer(), values(2, 64, 3, 3)) == []
    assert kernels(layer(stride=2), values(2, 64, 8, 8)) == []
    assert kernels(layer(groups=2), values(2, 64, 8, 8)) == []
    assert kernels(layer(channels=3), values(2, 3, 8, 8)) == []
    assert kernels(layer().double(), values(2, 64, 8, 8).double()) == []
    module = layer()
    set_step(module, engine="reference")
    assert kernels(module, values(2, 64, 8, 8)) == []


def test_transforms_autocast_and_second_derivatives():
    module, x = layer(channels=16, outputs=16), values(2, 16, 5, 6)[None].requires_grad_()
    reference = layer(channels=16, outputs=16)
    set_step(reference, engine="reference")
    seconds = []
    for of in (module, reference):
        y = of(x)
        first = torch.autograd.grad(y.pow(3).sum(), [x, of.weight, of.bias], create_graph=True)
        seconds.append([*first, *torch.autograd.grad(sum(g.pow(2).sum() for g in first), [x, of.weight])])
    for own, expected in zip(*seconds, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())
    with torch.autocast("cpu", torch.bfloat16):
        assert module(x).dtype == torch.bfloat16
    torch.testing.assert_close(torch.func.vmap(module)(x[None])[0], module(x))
    torch.testing.assert_close(torch.compile(module, backend="eager", fullgraph=True)(x), module(x))


def test_gradients_that_are_no_memory():
    module, x = layer(), values(2, 64, 8, 8)[None].requires_grad_()
    y = module(x)
    one = torch.autograd.grad(y, x, torch.ones_like(y), retain_graph=True)[0]
    for gy, expected in (
        (torch._efficientzerotensor(y.shape), 0 * one),
        (torch._neg_view(torch.ones_like(y)), -one),
        (torch.ones(()).expand(y.shape), one),
    ):
        found = torch.autograd.grad(y, x, gy, retain_graph=True)[0]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    many = torch.autograd.grad(y, x, torch.ones(3, *y.shape), is_grads_batched=True)[0]
    torch.testing.assert_close(many[1], one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("density", [0.1, 0.9])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bias", [True, False])
def test_an_output_can_be_computed_again(layout, bias, density):
    module, x = layer(bias=bias), spikes(8, 64, 9, 7, density=density, layout=layout).unflatten(0, (4, 2))
    assert again(module(x)) is None
    module.keeps_recipe = True
    y = module(x)
    expected, compute = y.detach().clone(), again(y)
    if density > 0.5 and (layout == "first" or not dense._has_instructions()):
        assert compute is None  # oneDNN's
        return
    assert compute is not None
    del y
    found = compute()
    assert torch.equal(found, expected)
    assert found.stride() == expected.stride()
    assert not found.requires_grad
    with torch.no_grad():
        module.weight.mul_(2)
    with pytest.raises(RuntimeError, match="has changed"):
        compute()


def test_what_is_no_spikes_or_was_changed_is_not_computed_again(monkeypatch):
    module, x = layer(), spikes(8, 64, 8, 8).unflatten(0, (4, 2))
    module.keeps_recipe = True
    assert again(module(x * 0.5)) is None
    assert again(module(values(8, 64, 8, 8).unflatten(0, (4, 2)))) is None
    y = module(x)
    assert again(y) is not None
    assert again(y + 0) is None
    with torch.no_grad():
        y.add_(1)
    assert again(y) is None
    with torch.inference_mode():
        assert again(module(x)) is None
    monkeypatch.setattr(convolution, "limits", lambda *_: (0.05, 0.05))
    assert again(module(x)) is None
