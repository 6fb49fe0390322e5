"""What only a GPU can show: each kernel on it, alignment, streams, graphs, several devices, equal bits every time."""

from __future__ import annotations

import itertools
import threading

import pytest
import torch
from compare import DEVICES, Fixed, close, normal, spread
from test_fused_neurons import NEURONS, SHAPES, check, is_exact
from torch import Tensor

from snnbench import kernels
from snnbench.neurons import DALIF, GLIF, LIF, PLIF

pytestmark = pytest.mark.skipif("cuda" not in DEVICES, reason="needs a GPU, and CuPy")

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
EXACT = [name for name in NEURONS if is_exact(NEURONS[name](2, 3), "cuda")]


@pytest.mark.usefixtures("poisoned")
@spread("name dtype T", list(NEURONS), DTYPES, [1, 4, 7, 16, 33], each=8)
def test_every_neuron(name: str, dtype: torch.dtype, T: int) -> None:
    for shape, last in itertools.product(((4, 4, 8, 8), SHAPES["image"]), (False, True)):
        check(name, T, shape, dtype, last, "cuda")


def call(neuron: kernels.Cell, x: Tensor) -> list[Tensor]:
    """Spikes and all gradients, for gradients of the spikes that differ from value to value."""
    x = x.detach().requires_grad_()
    s = neuron(x)
    gs = torch.linspace(-1, 2, s.numel(), device=x.device).view(s.shape).to(s.dtype)
    return [s.detach(), *torch.autograd.grad(s, [x, *neuron.parameters()], gs)]


def equal(found: list[Tensor], expected: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [1, 2, 3])
@pytest.mark.parametrize("T", [4, 16])
def test_misaligned_memory(dtype: torch.dtype, offset: int, T: int) -> None:
    """x begins where no vector may be read; so does, in a backward, the gradient of the spikes."""
    neuron = GLIF(T=T, channels=4, engine="cuda").cuda()
    aligned = normal(T, 2, 4, 8, device="cuda").to(dtype)
    x = torch.empty(aligned.numel() + offset, dtype=dtype, device="cuda")[offset:].view(aligned.shape).copy_(aligned)
    assert x.data_ptr() % 16
    gs = torch.cat([x.new_zeros(offset), x.reshape(-1)])[offset:].view(x.shape)
    found = []
    for given, g in ((aligned, aligned), (x, gs)):
        leaf = given.detach().requires_grad_()
        s = neuron(leaf)
        found.append([s.detach(), *torch.autograd.grad(s, [leaf, *neuron.parameters()], g)])
    (s, gx, *grads), (s1, gx1, *grads1) = found
    assert equal([s1, gx1], [s, gx])
    assert all(close(a, b, 1e-5) for a, b in zip(grads1, grads, strict=True))


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_constant_input(name: str, dtype: torch.dtype) -> None:
    neuron = NEURONS[name](5, 4).cuda()
    neuron.engine = "cuda"
    frame = normal(2, 4, 6, 6, device="cuda").to(dtype)
    found = []
    for repeat in (lambda frame: frame.expand(5, -1, -1, -1, -1), lambda frame: torch.stack([frame] * 5)):
        leaf = frame.detach().requires_grad_()
        s = neuron(repeat(leaf))
        gs = torch.arange(5, dtype=dtype, device="cuda").view(5, 1, 1, 1, 1).expand(s.shape)
        found.append([s.detach(), *torch.autograd.grad(s, [leaf, *neuron.parameters()], gs, allow_unused=True)])
    (s, gx, *grads), (s1, gx1, *grads1) = found
    assert torch.equal(s, s1)
    assert close(gx, gx1, 1e-5 if dtype == torch.float32 else 2**-6)
    for a, b in zip(grads, grads1, strict=True):
        assert (a is None) == (b is None)
        assert a is None or close(a, b, 1e-4)


@pytest.mark.parametrize("name", EXACT)
def test_spikes_are_those_of_the_cpu(name: str) -> None:
    neuron = NEURONS[name](6, 16)
    for dtype in DTYPES:
        x = (1.5 * normal(6, 32, 16, 20, 20, device="cpu", seed=7)).to(dtype)
        on_cpu, _ = kernels.run(Fixed(neuron.cpu(), "cpu"), x)
        on_gpu, _ = kernels.run(Fixed(neuron.cuda(), "cuda"), x.cuda())
        assert torch.equal(on_cpu, on_gpu.cpu())


@pytest.mark.parametrize("name", [name for name in NEURONS if name not in EXACT])
def test_spikes_flip_no_more_often_than_pytorchs(name: str) -> None:
    """Of a million neurons, against float64; beside what chance allows."""
    neuron = NEURONS[name](8, 16).cuda()
    x = 1.5 * normal(8, 64, 16, 32, 32, device="cuda", seed=7)
    exact = kernels.run(Fixed(neuron, "reference", torch.float64), x.double())[0]
    ours, eager = ((kernels.run(Fixed(neuron, e), x)[0] != exact).any(0).sum() for e in ("cuda", "reference"))
    assert ours <= eager + 4 * eager.sqrt() + 4, (ours, eager)


def test_a_side_stream() -> None:
    neuron, x = PLIF(engine="cuda").cuda(), torch.zeros(4, 2, 300, device="cuda")
    expected = call(neuron, torch.full_like(x, 1.5))
    assert expected[0].any()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # about 30 ms: on another stream, a kernel would read the zeros
        x.fill_(1.5)
        found = call(neuron, x)
    stream.synchronize()
    assert equal(found, expected)


@pytest.mark.parametrize("make", [LIF, PLIF, DALIF, lambda **o: GLIF(T=4, channels=6, **o)])
def test_capture_and_replay(make) -> None:
    neuron, x = make(engine="cuda").cuda(), normal(4, 2, 6, 50, device="cuda")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            call(neuron, x)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = call(neuron, x)
    for seed in (1, 2):
        x.copy_(1.3 * normal(4, 2, 6, 50, device="cuda", seed=seed))
        graph.replay()
        assert equal(captured, call(neuron, x))


def test_nothing_waits_for_the_device() -> None:
    neuron, x = GLIF(T=4, channels=6, engine="cuda").cuda(), normal(4, 2, 6, 50, device="cuda")
    call(neuron, x)
    torch.cuda.set_sync_debug_mode("error")
    try:
        call(neuron, x)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", NEURONS)
def test_the_same_bits_every_time(name: str) -> None:
    cell = Fixed(NEURONS[name](4, 96).cuda(), "cuda")
    x = normal(4, 16, 96, 14, 14, device="cuda").requires_grad_()
    runs = []
    for _ in range(4):
        s, _ = kernels.run(cell, x)
        runs.append([s, *torch.autograd.grad((s * x.detach()).sum(), [x, *cell.values.values()], allow_unused=True)])
        torch.empty(1 << 20, device="cuda").fill_(float("nan"))  # what is read unwritten shows
    for other in runs[1:]:
        assert all(a is b is None or torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


def test_several_threads_each_on_a_stream() -> None:
    neuron = DALIF(engine="cuda").cuda()
    inputs = [normal(4, 2, 5000, device="cuda", seed=seed) for seed in range(4)]
    expected, found = [call(neuron, x) for x in inputs], [[]] * 4
    torch.cuda.synchronize()

    def work(i: int) -> None:
        with torch.cuda.stream(torch.cuda.Stream()):
            for _ in range(20):
                found[i] = call(neuron, inputs[i])
            torch.cuda.current_stream().synchronize()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(map(equal, found, expected))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_device_that_is_not_the_current_one() -> None:
    x = normal(4, 2, 300, device="cuda:0")
    expected = call(DALIF(engine="cuda").to("cuda:0"), x)
    found = call(DALIF(engine="cuda").to("cuda:1"), x.to("cuda:1"))
    assert torch.cuda.current_device() == 0
    assert {t.device.index for t in found} == {1}
    assert equal([t.to("cuda:0") for t in found], expected)


@pytest.mark.parametrize("T", [128, 1000, 5000])
def test_many_timesteps(T: int) -> None:
    """By a kernel or, where that has no memory for it, by the reference."""
    x = normal(T, 2, 3, device="cuda")
    found, expected = call(PLIF().cuda(), x), call(PLIF(engine="reference").cuda(), x)
    assert torch.equal(found[0], expected[0])
    assert all(close(a, b, 1e-5) for a, b in zip(found, expected, strict=True))


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.mem_get_info()[0] < 40e9, reason="needs 40 GB of a GPU's memory"
)
def test_more_values_than_32_bits_count() -> None:
    x = torch.randn(3, 1, 1_000_000_004, device="cuda", dtype=torch.float16)
    neuron = LIF(engine="cuda")
    s, gx = call_large(neuron, x)
    for part in (slice(0, 1000), slice(-1000, None)):
        s1, gx1 = call_large(neuron, x[..., part].contiguous())
        assert torch.equal(s[..., part], s1)
        assert torch.equal(gx[..., part], gx1)


def call_large(neuron: kernels.Cell, x: Tensor) -> list[Tensor]:
    x = x.detach().requires_grad_()
    s = neuron(x)
    return [s.detach(), *torch.autograd.grad(s, x, x.detach())]
