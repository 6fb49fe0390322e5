"""What engines/contract.py promises, of every registered engine that can be had here, on its own kind of device.

The CUDA engine keeps it without a GPU, too: its instructions are run on the CPU (ptx.py).
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from compare import DEVICES, Fixed, close
from torch import Tensor

from snnbench.kernels import Engine
from snnbench.kernels.engines import reference
from snnbench.kernels.engines.registry import engine_called, registered, trouble
from snnbench.kernels.engines.signature import Signature
from snnbench.kernels.plans import plan_of
from snnbench.neurons import GLIF

T, C = 4, 6


@pytest.fixture(params=[*(engine.name for engine in registered()), pytest.param("stand-in", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "stand-in":
        request.getfixturevalue("machine")
    reason = trouble(request.param)
    if reason:
        pytest.skip(reason)
    return engine_called(request.param)


class Case:
    """A call of GLIF, which has two states and coefficients of all kinds, and what the reference makes of it."""

    def __init__(self, engine: Engine, shape: tuple[int, ...], dtype: torch.dtype, static: bool, given: bool) -> None:
        torch.manual_seed(0)
        self.device = engine.device
        cell = Fixed(GLIF(T=T, channels=C), "reference")
        self.x = (0.8 * torch.randn(shape if static else (T, *shape)) + 0.5).to(dtype)
        self.states = tuple(torch.rand(shape) if given else None for _ in cell.states)
        self.gs, self.g_last = torch.randn(T, *shape).to(dtype), tuple(torch.randn(shape) for _ in cell.states)
        self.coefficients = tuple(value.detach() for value in cell.values.values())
        frames = self.x.expand(T, *shape)
        program = plan_of(cell).program
        shapes = tuple(tuple(value.shape) for value in self.coefficients)
        assert program is not None
        self.kernel = engine.kernel(program, Signature((T, *shape), frames.stride(), dtype, static, shapes))
        self.kernel.prepare(torch.empty(0, device=engine.device).device, (True,) * len(shapes))
        leaves = [self.x, *(s for s in self.states if s is not None), *cell.values.values()]
        leaves = [leaf.requires_grad_() for leaf in leaves]
        start = dict(zip(cell.states, self.states, strict=True)) if given else None
        self.spikes, final = reference.run(cell, self.x.expand(T, *shape), start)
        self.final = [final[name] for name in cell.states]
        loss = (self.spikes.float() * self.gs.float()).sum()
        loss = loss + sum((v * g).sum() for v, g in zip(self.final, self.g_last, strict=True))
        grads = iter(torch.autograd.grad(loss, leaves))
        self.grads = [next(grads) if t is not None else None for t in (self.x, *self.states, *self.coefficients)]

    def there(self, value: Any) -> Any:
        """On the engine's device."""
        if isinstance(value, tuple):
            return tuple(self.there(part) for part in value)
        return None if value is None else value.detach().to(self.device)

    def forward(self, last: bool = True) -> tuple[Tensor, list[Tensor]]:
        return self.kernel.forward(self.there(self.x), self.there(self.states), self.there(self.coefficients), last)

    def backward(self, wanted: tuple[bool, ...], gs: Tensor | None, g_last: Any) -> list[Tensor | None]:
        arguments = (self.x, self.states, self.coefficients, gs, g_last)
        gx, g_states, g_coefficients = self.kernel.backward(*map(self.there, arguments), wanted)
        return [gx, *g_states, *g_coefficients]


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_both_passes_say_what_the_reference_says(engine: Engine, dtype: torch.dtype, static: bool, given: bool) -> None:
    case = Case(engine, (2, C, 5, 7), dtype, static, given)
    spikes, final = case.forward()
    assert spikes.dtype == dtype
    assert torch.equal(spikes.cpu(), case.spikes)
    assert all(close(a.cpu(), b, 1e-6) for a, b in zip(final, case.final, strict=True))
    wanted = tuple(grad is not None for grad in case.grads)
    found = case.backward(wanted, case.gs, case.g_last)
    tolerance = 1e-5 if dtype == torch.float32 else 2**-7
    for ours, expected in zip(found, case.grads, strict=True):
        assert (ours is None) == (expected is None)
        assert ours is None or (ours.shape == expected.shape and close(ours.cpu(), expected, tolerance))


def test_only_what_is_wanted(engine: Engine) -> None:
    case = Case(engine, (3, C), torch.float32, False, True)
    assert case.forward(last=False)[1] == []
    n = len(case.grads)
    for wanted in (tuple(i % 2 == odd for i in range(n)) for odd in (0, 1)):
        found = case.backward(wanted, case.gs, case.g_last)
        assert tuple(grad is not None for grad in found) == wanted
        for ours, expected in zip(found, case.grads, strict=True):
            assert ours is None or close(ours.cpu(), expected, 1e-5)


def test_no_gradient_means_zeros(engine: Engine) -> None:
    case = Case(engine, (3, C), torch.float32, False, True)
    wanted, none = (True,) * len(case.grads), (None,) * len(case.states)
    zeros = tuple(torch.zeros_like(g) for g in case.g_last)
    for gs, g_last, same in (
        (None, case.g_last, (torch.zeros_like(case.gs), case.g_last)),
        (case.gs, none, (case.gs, zeros)),
    ):
        pairs = zip(case.backward(wanted, gs, g_last), case.backward(wanted, *same), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_the_same_bits_twice_in_memory_of_their_own(engine: Engine) -> None:
    case = Case(engine, (2, C, 40, 9), torch.float32, False, True)
    x, states, coefficients = case.there((case.x, case.states, case.coefficients))
    before = [t.clone() for t in (x, *states, *coefficients)]
    once = [*case.kernel.forward(x, states, coefficients, True)[1], *case.backward((True,) * 9, case.gs, case.g_last)]
    again = [*case.kernel.forward(x, states, coefficients, True)[1], *case.backward((True,) * 9, case.gs, case.g_last)]
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before, (x, *states, *coefficients), strict=True))
    given = {t.untyped_storage().data_ptr() for t in (x, *states, *coefficients)}
    assert not given & {t.untyped_storage().data_ptr() for t in once}


def test_nothing_to_compute(engine: Engine) -> None:
    case = Case(engine, (0, C, 3), torch.float32, False, True)
    spikes, final = case.forward()
    assert spikes.shape == (T, 0, C, 3)
    assert [v.shape for v in final] == [(0, C, 3)] * 2
    found = case.backward((True,) * len(case.grads), case.gs, case.g_last)
    assert all(torch.equal(ours.cpu(), torch.zeros_like(grad)) for ours, grad in zip(found, case.grads, strict=True))


def test_text_needs_no_device() -> None:
    for engine in registered():
        cell = Fixed(GLIF(T=T, channels=C), "reference")
        program, shapes = plan_of(cell).program, tuple(tuple(value.shape) for value in cell.values.values())
        kernel = engine.kernel(program, Signature((T, 2, C), (2 * C, C, 1), torch.float32, False, shapes))
        forward, backward = kernel.text(False), kernel.text(True)
        assert "forward" in forward
        assert "backward" in backward
        assert forward != backward


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")
def test_a_gpu_has_its_engine_cuda() -> None:
    """Else the tests that run for each of compare.DEVICES would say nothing of it."""
    assert "cuda" in DEVICES, trouble("cuda")
