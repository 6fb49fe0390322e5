"""Tensors that are no plain memory: the reference runs them, forward and backward; no crash, no other number."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from compare import both, same
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from snnbench.neurons import DALIF, GLIF, KLIF, LIF, PLIF

X = torch.linspace(-1, 3, 60).view(3, 2, 10)
WEIGHT = torch.arange(60.0).view(3, 2, 10)


class Named(Tensor):
    """A subclass in name only."""


class Logged(Tensor):
    """One that is told of each function."""

    calls = 0

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        Logged.calls += 1
        return super().__torch_function__(func, types, args, kwargs)


class Wrapper(Tensor):
    """One without memory of its own, which adds up what it is asked for."""

    inner: Tensor
    seen: ClassVar[list[str]] = []

    @staticmethod
    def __new__(cls, inner: Tensor) -> Wrapper:
        made = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), dtype=inner.dtype, device=inner.device,
            requires_grad=inner.requires_grad,
        )  # fmt: skip
        made.inner = inner.detach()
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        Wrapper.seen.append(str(func))
        open_ = torch.utils._pytree.tree_map_only(Wrapper, lambda t: t.inner, (args, kwargs or {}))
        return torch.utils._pytree.tree_map_only(Tensor, Wrapper, func(*open_[0], **open_[1]))


def negative(x: Tensor) -> Tensor:
    """Equal to x, by a bit that says that the memory holds -x."""
    return torch._neg_view(-x)


def imaginary(x: Tensor) -> Tensor:
    return torch.complex(torch.zeros_like(x), -x).conj().imag


KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "subclass": lambda x: x.as_subclass(Named),
    "logged": lambda x: x.as_subclass(Logged),
    "wrapper": Wrapper,
    "neg bit": negative,
    "imaginary part": imaginary,
    "parameter": lambda x: nn.Parameter(x.detach()),
    "plain": lambda x: x,
}


def bare(value: Any) -> Any:
    if isinstance(value, Wrapper):
        value = value.inner
    return value.detach().resolve_neg().as_subclass(Tensor) if isinstance(value, Tensor) else value


@settings(deadline=None, max_examples=120)
@given(
    x_kind=st.sampled_from(list(KINDS)),
    v_kind=st.sampled_from([None, *KINDS]),
    g_kind=st.sampled_from([*KINDS, "zero", "expanded", "none"]),
    make=st.sampled_from([LIF, DALIF, KLIF]),
)
def test_random_kinds(x_kind: str, v_kind: str | None, g_kind: str, make: Any) -> None:
    def call(neuron: Any) -> list[Any]:
        x0 = X.clone().requires_grad_()
        v0 = X[0].clone().requires_grad_()
        state = {"v": KINDS[v_kind](v0)} if v_kind else None
        x = KINDS[x_kind](x0)
        s, final = neuron.run(x, state)
        if g_kind == "none":
            return [bare(s), bare(final["v"])]
        if g_kind == "zero":
            g: Tensor = torch._efficientzerotensor(tuple(s.shape))
        elif g_kind == "expanded":
            g = torch.tensor(0.5).expand(s.shape)
        else:
            g = KINDS[g_kind](WEIGHT.clone())
        if not s.requires_grad:
            return [bare(s)]
        leaves = [t for t in (x0, v0, *neuron.parameters()) if t.requires_grad]
        grads = torch.autograd.grad(s, leaves, g, allow_unused=True)
        return [bare(s), bare(final["v"]), *map(bare, grads)]

    def tried(neuron: Any) -> Any:
        try:
            return call(neuron)
        except (TypeError, RuntimeError) as error:
            return type(error)

    reference, fused = both(make, tried)
    if isinstance(reference, type):  # subclasses that do not know each other
        assert fused is reference
    else:
        same(reference, fused)


CRASHES = r"""
import faulthandler, torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.tensor import DTensor, Shard, init_device_mesh
from snnbench.neurons import LIF

n, r, x = LIF(), LIF(engine="reference"), torch.linspace(-1, 3, 60).view(3, 2, 10)

def gradient(neuron, g, **options):
    y = x.clone().requires_grad_()
    return torch.autograd.grad(neuron(y), y, g, **options)[0]

def zero_gradient():
    y = x.clone().requires_grad_()
    torch.sgn(n(y)).sum().backward()
    return y.grad

def zero_gradient_of_both():
    y = x.clone().requires_grad_()
    s, state = n.run(y)
    ends = [s, state["v"]]
    return torch.autograd.grad(ends, y, [torch._efficientzerotensor(e.shape) for e in ends])[0]

def second_derivative_of_zero():
    y = x.clone().requires_grad_()
    return torch.autograd.grad(torch.sgn(n(y)).sum(), y, create_graph=True)[0]

def fake(mode_on):
    mode = FakeTensorMode()
    with mode if mode_on else torch.enable_grad():
        y = mode.from_tensor(x).requires_grad_()
        n(y).sum().backward()
    assert type(y.grad) is type(mode.from_tensor(x)) and y.grad.shape == x.shape
    return torch.zeros(1)

def meta():
    y = x.to("meta").requires_grad_()
    n(y).sum().backward()
    assert y.grad.device.type == "meta"
    return torch.zeros(1)

def sparse_gradient():
    g = (x > 2).float().to_sparse()
    return gradient(n, g).to_dense() - gradient(r, g).to_dense()

def distributed():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    y = DTensor.from_local(x.clone(), init_device_mesh("cpu", (1,)), [Shard(1)]).requires_grad_()
    n(y).sum().backward()
    found = y.grad.full_tensor() - gradient(r, torch.ones_like(x))
    torch.distributed.destroy_process_group()
    return found

def batched():
    g = torch.stack([torch.ones_like(x), x])
    return gradient(n, g, is_grads_batched=True) - torch.stack([gradient(r, part) for part in g])

faulthandler.enable()
cases = [zero_gradient, zero_gradient_of_both, second_derivative_of_zero, lambda: fake(True), lambda: fake(False)]
cases += [meta, sparse_gradient, batched, distributed]
for f in cases:
    assert float(f().detach().abs().max()) < 1e-6, f
print("through")
"""


def test_what_could_crash() -> None:
    run = subprocess.run([sys.executable, "-c", CRASHES], capture_output=True, text=True, timeout=300)
    assert run.stdout.strip() == "through", run.stderr


class Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        return func(*args, **(kwargs or {}))


def test_modes_see_the_operations() -> None:
    counts = []
    for engine in ("reference", "cpu"):
        with Counter() as counter:
            LIF(engine=engine)(X)
        counts.append(counter.operations)
    assert counts[0] == counts[1] > 10


def test_traces_hold_the_operations() -> None:
    neuron = PLIF(engine="cpu")
    other = X.flip(0)
    assert torch.equal(make_fx(neuron)(X)(other), neuron(other))
    assert torch.equal(torch.jit.trace(neuron, (X,), check_trace=False)(other), neuron(other))


def test_coefficients_of_other_kinds(device: str) -> None:
    class Odd(GLIF):
        def coefficients(self) -> dict[str, Tensor]:
            return {name: negative(value) for name, value in super().coefficients().items()}

    def call(neuron: Any) -> list[Any]:
        x = X.view(3, 2, 5, 2).clone().to(device).requires_grad_()
        s = neuron(x)
        s.mul(WEIGHT.view_as(x).to(device)).sum().backward()
        return [s.detach(), x.grad, *(p.grad for p in neuron.parameters())]

    same(*both(lambda: Odd(T=3, channels=5), call, device))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64])
def test_states_of_other_dtypes(dtype: torch.dtype, device: str) -> None:
    def call(neuron: Any) -> list[Any]:
        v = torch.linspace(-1, 2, 20).view(2, 10).to(device, dtype)
        s, final = neuron.run(X.to(device), {"v": v})
        return [s.detach(), final["v"].detach()]

    same(*both(DALIF, call, device))
