"""Limits: time without end, many lengths, kernels that cannot be had when they are needed, odd calls."""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from compare import Fixed, both, normal, same

from snnbench.kernels import run
from snnbench.kernels.cell import NoEngine
from snnbench.kernels.engines import build, cpu, cuda, reference
from snnbench.kernels.engines.cpu import CpuKernel
from snnbench.kernels.engines.signature import Signature
from snnbench.kernels.plans import plan_of
from snnbench.neurons import DALIF, GLIF, LIF, PLIF
from tests.neurons.neuron_cases import NEURONS, make

FUSED = [name for name in NEURONS if not make(name, 2, channels=3).not_fusable]


@pytest.mark.parametrize("name", FUSED)
def test_a_hundred_thousand_timesteps(name: str) -> None:
    """In a thread with little stack; the ends are compared with the reference, the middle with a run in parts."""
    T, last = 100_000, 40
    neuron = make(name, T, channels=3)
    neuron.engine = "cpu"
    x = torch.randn(T, 1, 3, 2, generator=torch.Generator().manual_seed(0)).add_(0.5).requires_grad_()
    found: dict[str, Any] = {}

    def work() -> None:
        s, state = neuron.run(x)
        found["s"] = s.detach()
        (s[-last:].sum() + sum(v.sum() for v in state.values())).backward()

    before = threading.stack_size(1 << 20)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    threading.stack_size(before)
    assert x.grad is not None

    cell = Fixed(neuron, "reference")
    whole = cell.values

    def part(begin: int, end: int) -> None:
        cell.values = {k: v[begin:end] if k in neuron.per_step else v for k, v in whole.items()}

    part(0, last)
    s, _ = reference.run(cell, x[:last].detach(), None)
    assert torch.equal(s, found["s"][:last])
    part(0, T - last)
    fused = Fixed(neuron, "cpu")
    fused.values = cell.values
    with torch.no_grad():
        _, state = run(fused, x[: T - last].detach())
    part(T - last, T)
    tail = x[T - last :].detach().requires_grad_()
    s, final = reference.run(cell, tail, {k: v.detach() for k, v in state.items()})
    assert torch.equal(s, found["s"][T - last :])
    (s.sum() + sum(v.sum() for v in final.values())).backward()
    same([tail.grad], [x.grad[T - last :]], tolerance=1e-5)


def test_more_timesteps_than_a_cuda_thread_can_keep_are_refused_before_they_are_compiled() -> None:
    program = plan_of(GLIF(T=4, channels=3)).program
    assert program is not None
    kernel = cuda.CudaEngine().kernel(program, signature_of(100_000))
    with pytest.raises(NoEngine, match="T=100000 is more than a thread of a CUDA device can keep"):
        kernel.load((True,) * len(program.coefficients), 1, torch.device("cuda", 0))


def test_more_timesteps_than_memory_are_refused() -> None:
    program, T = plan_of(LIF()).program, 1 << 23
    assert program is not None
    with pytest.raises(NoEngine, match="T=8388608 is more than a kernel can keep"):
        CpuKernel(program, Signature((T, 1), (0, 1), torch.float32, True, ())).prepare(torch.device("cpu"))


def signature_of(T: int) -> Signature:
    neuron, x = GLIF(T=T, channels=3), torch.empty(T, 1, 3)
    return Signature(
        (T, 1, 3), x.stride(), x.dtype, False, tuple(tuple(c.shape) for c in neuron.coefficients().values())
    )


@pytest.mark.parametrize("shape", [(2, 6, 9, 9), (7, 6), (3, 6, 70)])
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_kernel_for_any_length_has_the_bits_of_a_special_one(
    shape: tuple[int, ...], static: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outcome(special: bool, T: int) -> list[Any]:
        torch.manual_seed(0)
        neuron = GLIF(T=T, channels=shape[1])
        program = plan_of(neuron).program
        assert program is not None
        c = tuple(v.detach().contiguous() for v in neuron.coefficients().values())
        x = torch.randn(shape).to(dtype).expand(T, *shape) if static else torch.randn(T, *shape).to(dtype)
        states = tuple(torch.randn(shape) for _ in program.states)
        gs, wanted = torch.randn(T, *shape).to(dtype), (True,) * (1 + len(states) + len(c))
        pick = (lambda p, v, b: v) if special else (lambda p, v, b: cpu.any_steps(v))
        monkeypatch.setattr(cpu, "chosen", pick)
        kernel = CpuKernel(program, Signature((T, *shape), x.stride(), dtype, static, tuple(tuple(v.shape) for v in c)))
        found = [kernel.forward(x, states, c, True), kernel.backward(x, states, c, gs, states, wanted)]
        return torch.utils._pytree.tree_leaves(found)

    for T in (3, 7):
        pairs = zip(outcome(True, T), outcome(False, T), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_many_lengths_cost_few_compilations(fresh: Path) -> None:
    neuron = PLIF(engine="cpu", tau=1.875)
    for T in range(1, 41):
        x = torch.randn(T, 2, 5).requires_grad_()
        neuron(x).sum().backward()
    assert len(list(fresh.glob("*.so"))) == 4


@pytest.mark.parametrize("trouble", ["compiler", "cache", "disk"])
@pytest.mark.parametrize("constant", [False, True])
def test_a_backward_that_cannot_be_had(
    trouble: str,
    constant: bool,
    fresh: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    compiler = tmp_path / "my g++"
    compiler.write_text('#!/bin/sh\nexec g++ "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))

    def break_it() -> None:
        if trouble == "compiler":
            compiler.unlink(missing_ok=True)
        elif trouble == "cache":
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.parent.mkdir(exist_ok=True)
            fresh.write_text("a file")
        else:
            monkeypatch.setattr(build, "keep", full)

    def full(content: bytes, target: Path) -> None:
        raise OSError(28, "No space left on device")

    outcomes = []
    with caplog.at_level(logging.WARNING, "snnbench"):
        for engine in ("reference", "auto"):
            neuron = DALIF(engine=engine, alpha_init="ones")
            x0 = torch.linspace(-1, 3, 20).view(2, 10).requires_grad_()
            x = x0.expand(3, 2, 10) if constant else torch.stack([x0, x0, x0])
            found = []
            for _ in range(2):
                s, state = neuron.run(x)
                if engine == "auto":
                    break_it()
                (s.mul(torch.arange(60.0).view_as(s)).sum() + state["v"].sum()).backward(retain_graph=True)
                found += [s.detach(), x0.grad.clone()]
            outcomes.append([*found, *(p.grad for p in neuron.parameters())])
    same(*outcomes)
    (record,) = caplog.records
    assert "DALIF: reference engine, because" in record.getMessage()


def test_under_torch_compile_too(fresh: Path, caplog: pytest.LogCaptureFixture, compiled_kernels: None) -> None:
    torch._dynamo.reset()
    neuron, x = LIF(tau=2.625), torch.linspace(-1, 3, 60).view(3, 2, 10).requires_grad_()
    compiled = torch.compile(neuron, fullgraph=True, backend="aot_eager")
    s = compiled(x)
    shutil.rmtree(fresh)
    fresh.write_text("a file")
    s.sum().backward()
    y = x.detach().requires_grad_()
    LIF(tau=2.625, engine="reference")(y).sum().backward()
    same([y.grad], [x.grad])
    assert any("reference engine, because no cache folder" in r.getMessage() for r in caplog.records)


@pytest.mark.parametrize("shape", [(1, 3, 5), (4, 0, 5), (4, 2, 0, 3), (33, 1, 5), (40, 0, 5), (17, 2, 5, 3, 3)])
@pytest.mark.parametrize("layout", ["plain", "channels last", "transposed", "sliced"])
def test_odd_calls(shape: tuple[int, ...], layout: str, device: str) -> None:
    def call(neuron: Any) -> list[Any]:
        def laid(value: torch.Tensor) -> torch.Tensor:
            if layout == "transposed":
                return value.transpose(0, 1).contiguous().transpose(0, 1)
            if layout == "sliced":
                return value.repeat_interleave(2, -1)[..., ::2]
            if layout == "channels last" and value.dim() > 3:
                return value.movedim(2, -1).contiguous().movedim(-1, 2)
            return value

        x0 = normal(*shape, device=device).requires_grad_()
        v0 = normal(*shape[1:], device=device, seed=1).requires_grad_()
        v = v0.transpose(0, -1).contiguous().transpose(0, -1)
        s, state = neuron.run(laid(x0), {"v": v})
        weights = torch.linspace(-1, 2, s.numel(), device=device).view_as(s)
        (s.mul(weights).sum() + state["v"].sum()).backward()
        return [s.detach(), state["v"].detach(), x0.grad, v0.grad, *(p.grad for p in neuron.parameters())]

    same(*both(lambda: GLIF(T=shape[0], channels=shape[2] or None), call, device), tolerance=1e-5)
