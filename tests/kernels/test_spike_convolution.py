"""The convolution that only adds, beside PyTorch's in float64 and in float32."""

import io
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from snnbench.backbones.layers import AvgPool2d, Conv2d, MaxPool2d
from snnbench.backbones.step import set_step
from snnbench.kernels.spikes import convolution, library
from snnbench.kernels.spikes.bits import pack
from snnbench.kernels.spikes.convolution import again, convolve

pytestmark = pytest.mark.skipif(library.library() is None, reason="no C++ compiler")
LAYOUTS = {"first": torch.contiguous_format, "last": torch.channels_last}


def spikes(shape, density, layout="first", seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(shape, generator=generator) < density).float()
    return x.contiguous(memory_format=LAYOUTS[layout])


def both(x, outputs, kernel, stride, padding, bias, seed=0):
    """Output and gradients of x, weight and bias: of `convolve`, of float32's and of float64's dense convolution."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, x.shape[1], kernel, kernel, generator=generator)
    offset = torch.randn(outputs, generator=generator) if bias else None
    found, gy = [], None
    for call, dtype in (
        (convolve, torch.float32),
        (functional.conv2d, torch.float32),
        (functional.conv2d, torch.float64),
    ):
        leaves = [None if t is None else t.detach().to(dtype).requires_grad_() for t in (x, weight, offset)]
        y = call(*leaves, stride, padding)
        assert y is not None
        gy = torch.randn(y.shape, generator=generator) if gy is None else gy
        y.backward(gy.to(y))
        found.append([y.detach(), *(t.grad for t in leaves if t is not None)])
    return found


def check(found):
    """As near to float64 as the dense float32 convolution is, but for a factor that other orders of summing have."""
    for added, dense, exact in zip(*found, strict=True):
        largest = exact.abs().max().clamp(min=1e-30)
        error, usual = ((value - exact).abs().max() / largest for value in (added, dense))
        assert error <= max(4 * usual, 2e-6)
        assert added.stride() == dense.stride() or added.dim() < 4 or 1 in added.shape


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(convolution, "limits", lambda *_: (1.0, 1.0))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 3),
    channels=st.sampled_from([32, 33, 64, 70, 128, 130]),
    outputs=st.sampled_from([32, 48, 64, 80, 144]),
    height=st.integers(1, 9),
    width=st.integers(1, 19),
    kernel=st.sampled_from([1, 2, 3, 5]),
    stride=st.integers(1, 3),
    data=st.data(),
    density=st.sampled_from([0.0, 0.02, 0.2, 0.7, 1.0]),
    layout=st.sampled_from(sorted(LAYOUTS)),
    bias=st.booleans(),
)
def test_any_shape(n, channels, outputs, height, width, kernel, stride, data, density, layout, bias):
    padding = data.draw(st.integers(0, kernel - 1))
    if min(height, width) + 2 * padding < kernel:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "limits", lambda *_: (1.0, 1.0))
        check(both(spikes((n, channels, height, width), density, layout), outputs, kernel, stride, padding, bias))


@pytest.mark.parametrize("limits", [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_beyond_the_limits_the_dense_convolution_runs_on_unpacked_bits(limits, layout, monkeypatch):
    monkeypatch.setattr(convolution, "limits", lambda *_: limits)
    check(both(spikes((2, 70, 9, 11), 0.3, layout), 64, 3, 1, 1, True))


@pytest.mark.parametrize("threads", [2, 3])
def test_no_thread_count_shows(threads, always):
    x, before = spikes((6, 64, 24, 24), 0.2), torch.get_num_threads()
    (one, *_) = both(x, 96, 3, 1, 1, True)
    try:
        torch.set_num_threads(threads)
        (many, *_) = both(x, 96, 3, 1, 1, True)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one[0], many[0])
    assert torch.equal(one[2], many[2])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 63, 3, 5), (3, 64, 4, 4), (2, 65, 7, 33), (1, 200, 2, 17)])
def test_bits_are_the_spikes(shape, layout):
    x = spikes(shape, 0.4, layout)
    bits = pack(x)
    assert torch.equal(bits.unpack(), x)
    assert bits.ones == x.sum().item()
    assert bits.words.numel() == shape[0] * shape[2] * shape[3] * -(-shape[1] // 64)


@pytest.mark.parametrize("value", [0.5, -1.0, 2.0, float("nan"), float("inf"), 1 + 2**-23])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("place", [0, 1234, -1])
def test_one_value_that_is_no_spike_is_enough(value, layout, place):
    x = spikes((2, 70, 9, 7), 0.3).contiguous()
    x.view(-1)[place] = value
    assert pack(x.contiguous(memory_format=LAYOUTS[layout])) is None


def test_only_bits_are_kept_for_the_backward(always):
    x, weight = spikes((4, 64, 32, 32), 0.1), torch.randn(64, 64, 3, 3, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        convolve(x, weight, None, 1, 1)
    sizes = sorted(t.numel() * t.element_size() for t in kept)
    assert sizes == [x.numel() // 8, weight.numel() * 4]


def layer(**options):
    torch.manual_seed(0)
    return Conv2d(64, 64, 3, padding=1, **options)


def adds(module, x, monkeypatch):
    """Whether the module's convolution went by the bits."""
    seen = []
    monkeypatch.setattr(convolution, "pack", lambda t: seen.append(pack(t)) or seen[-1])
    y = module(x)
    monkeypatch.undo()
    expected = torch.nn.Conv2d.forward(module, x.flatten(0, 1)).unflatten(0, x.shape[:2])
    assert torch.allclose(y, expected, atol=1e-4)
    return any(bits is not None for bits in seen)


def test_the_layer_adds_where_its_input_is_spikes(monkeypatch):
    x = spikes((8, 64, 8, 8), 0.1).unflatten(0, (4, 2))
    assert adds(layer(), x, monkeypatch)
    assert not adds(layer(), x * 0.5, monkeypatch)
    assert not adds(layer(groups=2), x, monkeypatch)
    assert not adds(layer(dilation=2), x, monkeypatch)
    assert not adds(layer(padding_mode="circular"), x, monkeypatch)
    assert not adds(layer().double(), x.double(), monkeypatch)
    reference = torch.nn.Sequential(layer())
    set_step(reference, engine="reference")
    assert not adds(reference[0], x, monkeypatch)


def test_without_gradients_a_dense_input_is_not_even_unpacked(monkeypatch):
    monkeypatch.setattr(convolution, "limits", lambda *_: (0.3, 0.3))
    with torch.no_grad():
        assert convolve(spikes((2, 64, 8, 8), 0.5), torch.randn(64, 64, 3, 3), None, 1, 1) is None
        assert convolve(spikes((2, 64, 8, 8), 0.1), torch.randn(64, 64, 3, 3), None, 1, 1) is not None


def test_transforms_autocast_and_second_derivatives(monkeypatch):
    module, x = layer(), spikes((8, 64, 8, 8), 0.1).unflatten(0, (4, 2))
    with torch.autocast("cpu", torch.bfloat16):
        assert module(x).dtype == torch.bfloat16
    torch.func.vmap(module)(x[None])
    g = torch.autograd.grad(module(x).sum(), module.weight, create_graph=False)[0]
    assert g.shape == module.weight.shape
    with pytest.raises(RuntimeError, match="engine='reference'"):
        torch.autograd.grad(module(x).pow(2).sum(), module.weight, create_graph=True)


def test_gradients_that_are_no_memory(always):
    """A gradient that is zero without memory, a negative view, one that stands for many."""
    module, x = layer(), spikes((8, 64, 8, 8), 0.1).unflatten(0, (4, 2)).requires_grad_()
    dense = layer()
    set_step(dense, engine="reference")

    def gradients(of, make):
        y = of(x)
        return torch.autograd.grad(y, [x, of.weight, of.bias], make(y))

    for make in (lambda y: torch._efficientzerotensor(y.shape), lambda y: torch._neg_view(torch.ones_like(y))):
        for added, expected in zip(gradients(module, make), gradients(dense, make), strict=True):
            assert torch.allclose(added, expected, atol=1e-4, rtol=1e-4)
    y = module(x)
    many = torch.randn(3, *y.shape)
    found = torch.autograd.grad(y, module.weight, many, is_grads_batched=True)[0]
    assert torch.allclose(found[1], torch.autograd.grad(dense(x), dense.weight, many[1])[0], atol=1e-3)
    torch.sgn(module(x)).sum().backward()


def test_without_a_compiler_it_is_the_dense_convolution(tmp_path):
    text = (
        "import torch; from snnbench.backbones.layers import Conv2d; torch.manual_seed(0); m = Conv2d(32, 32, 3);"
        "x = (torch.rand(2, 3, 32, 5, 5) < 0.1).float(); y = m(x); y.sum().backward();"
        "assert torch.equal(y.flatten(0, 1), torch.nn.functional.conv2d(x.flatten(0, 1), m.weight, m.bias))"
    )
    environment = {
        "PATH": "/nowhere",
        "CXX": "no-such-compiler",
        "SNNBENCH_CACHE": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16, "meta"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("density", [0.1, 0.9])
def test_pytorchs_defaults_do_not_show(default, layout, density):
    module, x = layer(), spikes((6, 64, 9, 8), density, layout).unflatten(0, (3, 2)).requires_grad_()
    pool = torch.nn.Sequential(AvgPool2d(2), MaxPool2d(2))
    found = []
    for changed in (False, True):
        try:
            if changed and default == "meta":
                torch.set_default_device("meta")
            elif changed:
                torch.set_default_dtype(default)
            y = pool(module(x))
            found.append([y, *torch.autograd.grad(y, [x, module.weight], torch.ones_like(y))])
        finally:
            torch.set_default_dtype(torch.float32)
            torch.set_default_device(None)
    assert all(torch.equal(a, b) and a.dtype == torch.float32 for a, b in zip(*found, strict=True))


def test_a_layer_that_convolves_otherwise_is_called():
    class Centred(Conv2d):
        def _conv_forward(self, input, weight, bias):
            return super()._conv_forward(input, weight - weight.mean(), bias)

    torch.manual_seed(0)
    module, x = Centred(64, 64, 3, padding=1), spikes((4, 64, 8, 8), 0.1).unflatten(0, (2, 2))
    expected = functional.conv2d(x.flatten(0, 1), module.weight - module.weight.mean(), module.bias, 1, 1)
    torch.testing.assert_close(module(x).flatten(0, 1), expected)


def test_an_output_that_can_be_computed_again_can_be_saved():
    module, x = layer(), spikes((8, 64, 9, 7), 0.1).unflatten(0, (4, 2))
    module.keeps_recipe = True
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            y = module(x)
            assert (again(y) is not None) is enabled
            saved = io.BytesIO()
            torch.save(y, saved)
            saved.seek(0)
            assert torch.equal(torch.load(saved), y)
