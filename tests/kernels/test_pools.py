"""Pools that keep next to nothing, beside PyTorch's: outputs and gradients are the same, bit for bit."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from snnbench.backbones.layers import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from snnbench.backbones.step import set_step
from snnbench.kernels.spikes import library

LAYOUTS = {"first": torch.contiguous_format, "last": torch.channels_last}
POOLS = {"avg": (AvgPool2d, functional.avg_pool2d), "max": (MaxPool2d, functional.max_pool2d)}
compiled = pytest.mark.skipif(library.library() is None, reason="no C++ compiler")


def values(shape, kind, layout, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    x = {"spikes": (x > 1).float(), "few": x.round(), "all": x}[kind]
    return x.contiguous(memory_format=LAYOUTS[layout])


def kept(call):
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: sizes.append(t.numel() * t.element_size()) or t, lambda t: t
    ):
        y = call()
    return y, sum(sizes)


@settings(max_examples=120, deadline=None)
@given(
    kind=st.sampled_from(sorted(POOLS)),
    channels=st.sampled_from([1, 3, 16, 20, 64, 83]),
    height=st.integers(1, 9),
    width=st.integers(1, 70),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)) | st.just((2, 2)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)) | st.none(),
    data=st.data(),
    ceil_mode=st.booleans(),
    counts=st.booleans(),
    content=st.sampled_from(["spikes", "few", "all"]),
    layout=st.sampled_from(sorted(LAYOUTS)),
)
def test_any_windows(kind, channels, height, width, kernel, stride, data, ceil_mode, counts, content, layout):
    padding = tuple(data.draw(st.integers(0, size // 2)) for size in kernel)
    if height + 2 * padding[0] < kernel[0] or width + 2 * padding[1] < kernel[1]:
        return
    options = {"ceil_mode": ceil_mode} | ({"count_include_pad": counts} if kind == "avg" else {})
    make, torchs = POOLS[kind]
    x = values((4, channels, height, width), content, layout).requires_grad_()
    expected = torchs(x, kernel, stride or kernel, padding, **options)
    y, size = kept(lambda: make(kernel, stride, padding, **options)(x.unflatten(0, (2, 2))).flatten(0, 1))
    g = torch.randn_like(expected)
    found, right = (torch.autograd.grad(value, x, g)[0] for value in (y, expected))
    assert torch.equal(y, expected)
    assert torch.equal(found, right)
    if 1 not in (channels, height, width, *y.shape[2:]):
        assert y.stride() == expected.stride()
        assert found.stride() == x.stride()
    if library.library() is not None:
        assert size == (y.numel() if kind == "max" else 0)


@compiled
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("place", itertools.product([0, 1], [0, 1]))
def test_a_nan_and_the_lowest_number(layout, place):
    x = torch.full((1, 16, 4, 40), -float("inf")).contiguous(memory_format=LAYOUTS[layout])
    x[..., 2 + place[0], 6 + place[1]] = float("nan")
    x[..., 2, 8], x[..., 2, 9] = float("nan"), float("nan")
    x = x.requires_grad_()
    y, expected = MaxPool2d(2)(x[None])[0], functional.max_pool2d(x, 2)
    assert y.isnan().any()
    assert torch.allclose(y, expected, equal_nan=True, rtol=0, atol=0)
    found, right = (torch.autograd.grad(value, x, torch.ones_like(y))[0] for value in (y, expected))
    assert torch.equal(found, right)


@compiled
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("pool", [AvgPool2d(2), MaxPool2d(2), MaxPool2d(3, 2, 1)])
def test_no_thread_count_shows(pool, layout):
    x, before, found = values((6, 32, 33, 31), "all", layout).requires_grad_(), torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            y = pool(x[None])
            found.append((y, torch.autograd.grad(y.pow(2).sum(), x)[0]))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@pytest.mark.parametrize("size", [1, 3, (2, 7)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_adaptive_average_keeps_nothing(size, layout):
    x = values((4, 20, 6, 7), "all", layout).requires_grad_()
    y, bytes_kept = kept(lambda: AdaptiveAvgPool2d(size)(x[None])[0])
    expected = functional.adaptive_avg_pool2d(x, size)
    assert torch.equal(y, expected)
    found, right = (torch.autograd.grad(value.pow(2).sum(), x)[0] for value in (y, expected))
    assert torch.equal(found, right)
    assert bytes_kept == 0


LAYERS = [AvgPool2d(2), AvgPool2d(3, 2, 1), MaxPool2d(2), MaxPool2d(3, 2, 1), AdaptiveAvgPool2d(3)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("pool", LAYERS)
def test_second_derivatives(pool, layout):
    x = values((2, 3, 7, 6), "all", layout).double().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: pool(x[None]), x)
    x = x.detach().float().requires_grad_()
    own, reference = [], []
    for found, engine in ((own, "auto"), (reference, "reference")):
        set_step(pool, engine=engine)
        y = pool(x[None])
        (first,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
        found += [first, torch.autograd.grad(first.pow(2).sum(), x)[0]]
    set_step(pool, engine="auto")
    torch.testing.assert_close(own, reference)


@pytest.mark.parametrize("pool", LAYERS)
def test_transforms_compilers_and_other_numbers_are_pytorchs(pool):
    x = values((2, 3, 8, 6), "all", "first")
    expected = pool(x[None])[0]
    assert torch.equal(torch.func.vmap(pool)(x[None, None])[0, 0], expected)
    gradient = torch.func.grad(lambda x: pool(x[None]).pow(2).sum())(x)
    leaf = x.clone().requires_grad_()
    pool(leaf[None]).pow(2).sum().backward()
    torch.testing.assert_close(gradient, leaf.grad)
    assert pool(x[None].bfloat16()).dtype == torch.bfloat16
    assert pool(x[None].to("meta")).shape == expected[None].shape
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(pool(x[None])[0], expected)
    compiled = torch.compile(pool, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x[None])[0], expected)


@pytest.mark.parametrize("pool", LAYERS)
def test_gradients_that_are_no_memory(pool):
    x = values((2, 3, 8, 6), "all", "first").requires_grad_()
    y = pool(x[None])
    assert not torch.autograd.grad(y, x, torch._efficientzerotensor(y.shape), retain_graph=True)[0].any()
    one = torch.autograd.grad(y, x, torch.ones_like(y), retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(y, x, torch._neg_view(torch.ones_like(y)), retain_graph=True)[0], -one)
    assert torch.equal(torch.autograd.grad(y, x, torch.ones(()).expand(y.shape), retain_graph=True)[0], one)
    many = torch.autograd.grad(y, x, torch.ones(3, *y.shape), is_grads_batched=True)[0]
    torch.testing.assert_close(many[1], one)


def test_what_the_kernels_do_not_know():
    x = values((2, 3, 8, 6), "all", "first")
    assert torch.equal(MaxPool2d(2, dilation=2)(x[None])[0], functional.max_pool2d(x, 2, dilation=2))
    assert torch.equal(AvgPool2d(2, divisor_override=3)(x[None])[0], functional.avg_pool2d(x, 2, divisor_override=3))
    with pytest.raises(RuntimeError, match=r"(?i)pad"):
        AvgPool2d(2, padding=2)(x[None])
    with pytest.raises(RuntimeError, match=r"(?i)output size"):
        MaxPool2d(9)(x[None])
