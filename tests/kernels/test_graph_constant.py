"""A constant input, whatever stands before it: its gradients, and who sees them, are the reference's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from compare import both, close, normal, same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from snnbench.backbones.layers import SpikingUnit
from snnbench.backbones.norms import BatchNorm
from snnbench.kernels import repeat
from snnbench.kernels.engines.cpu import CpuKernel
from snnbench.neurons import DALIF, KLIF, LIF, PLIF

T = 4


class Scale(torch.autograd.Function):
    """Values as they are (a view, or a copy), gradients times a factor: reversal, if it is below 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float, copied: bool) -> Tensor:
        ctx.factor = factor
        return x.clone() if copied else x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return ctx.factor * grad, None, None


def added(x: Tensor) -> Tensor:
    return x.clone().add_(0.5)


def written(x: Tensor) -> Tensor:
    x = x * 1
    x[:, 1] = 0.75
    return x


LINKS: dict[str, Callable[[Tensor], Tensor]] = {
    "reversal": lambda x: Scale.apply(x, -1.0, False),
    "scaling": lambda x: Scale.apply(x, 0.3, True),
    "identity": lambda x: Scale.apply(x, 1.0, False),
    "view": lambda x: x.view(6, 6).view(2, 3, 6),
    "there and back": lambda x: x.transpose(0, 1).transpose(0, 1),
    "slice": lambda x: torch.cat([x, x])[:2],
    "part": lambda x: torch.stack([x, -x]).unbind(0)[0],
    "add in place": added,
    "write in place": written,
    "twice": lambda x: x * 2,
}
ENDS: dict[str, Callable[[Tensor], Tensor]] = {
    "expand": lambda x: x.expand(T, *x.shape),
    "unsqueeze": lambda x: x.unsqueeze(0).expand(T, *x.shape),
    "none": lambda x: x[None].expand(T, *x.shape),
    "repeat": lambda x: repeat(x.unsqueeze(0), T),
    "copies": lambda x: x.repeat(T, 1, 1, 1),
    "stack": lambda x: torch.stack([x] * T),
    "view of it": lambda x: x.expand(T, *x.shape).view(T, *x.shape),
    "reversed": lambda x: Scale.apply(x.expand(T, *x.shape), -2.0, False),
    "of more": lambda x: x.expand(T + 2, *x.shape)[1:-1],
    "of two": lambda x: x.expand(2, *x.shape).unsqueeze(0).expand(2, 2, *x.shape).flatten(0, 1),
}
LOOKS = ("hook", "retain", "late hook", "late retain", "node hook", "late node hook", "late node prehook")


def look(kind: str, tensors: list[Tensor], seen: list[Tensor]) -> None:
    """Have somebody look at the gradients of tensors between."""

    def note(grads: Any) -> None:
        seen.extend(g.clone() for g in (grads if isinstance(grads, tuple) else (grads,)) if g is not None)

    for tensor in tensors:
        if not tensor.requires_grad or tensor.is_leaf:
            continue
        if kind.endswith("retain"):
            tensor.retain_grad()
        elif kind.endswith("node hook"):
            tensor.grad_fn.register_hook(lambda _, got: note(got))
        elif kind.endswith("node prehook"):
            tensor.grad_fn.register_prehook(note)
        else:
            tensor.register_hook(note)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    links=st.lists(st.sampled_from(list(LINKS)), max_size=4),
    end=st.sampled_from(list(ENDS)),
    kind=st.sampled_from(("", *LOOKS)),
    place=st.integers(0, 5),
    way=st.sampled_from(("backward", "grad of x0", "grad of x", "grad of all", "inputs", "twice")),
    leaf=st.booleans(),
)
def test_random_chains(links: list[str], end: str, kind: str, place: int, way: str, leaf: bool, device: str) -> None:
    def call(neuron: Any) -> list[Tensor | None]:
        x0 = torch.linspace(-1, 3, 36, device=device).reshape(2, 6, 3).transpose(1, 2).contiguous().requires_grad_()
        tensors, seen = [x0 if leaf else x0 * 1], []
        for link in links:
            tensors.append(LINKS[link](tensors[-1]))
        tensors.append(ENDS[end](tensors[-1]))
        looked = [tensors[place % len(tensors)], tensors[-1]]
        if kind and not kind.startswith("late"):
            look(kind, looked, seen)
        s = neuron(tensors[-1])
        if kind.startswith("late"):
            look(kind, looked, seen)
        loss = (s * torch.arange(T * 36.0, device=device).view_as(s)).sum() + (tensors[-1] * 0.125).sum()
        middle = [t for t in tensors[1:] if t.requires_grad]
        found: list[Tensor | None] = [s.detach()]
        if way == "backward":
            loss.backward()
        elif way == "twice":
            loss.backward(retain_graph=True)
            loss.backward()
        elif way == "inputs":
            loss.backward(inputs=[x0])
        else:
            wanted = {"grad of x0": [x0], "grad of x": middle[-1:], "grad of all": [x0, *middle]}[way]
            found += torch.autograd.grad(loss, wanted, allow_unused=True) if wanted else []
        kept = [t.grad for t in (*looked, x0) if t.is_leaf or t.retains_grad]
        return [*found, *kept, *seen, *(p.grad for p in neuron.parameters())]

    same(*both(PLIF, call, device), tolerance=1e-5)


@pytest.mark.parametrize("kind", ["full", "pre", "forward"])
def test_hooks_of_modules(kind: str, device: str) -> None:
    """Full backward hooks stand in the graph themselves; they fire for each module, with the same gradients."""

    def call(neuron: Any) -> list[Tensor]:
        torch.manual_seed(0)
        unit, seen = SpikingUnit(BatchNorm(3), neuron).to(device), []
        for module in (unit, unit.norm, unit.neuron):
            if kind == "full":
                module.register_full_backward_hook(lambda _, gi, go: seen.extend((*gi, *go)))
            elif kind == "pre":
                module.register_full_backward_pre_hook(lambda _, go: seen.extend(go))
            else:
                module.register_forward_hook(lambda _, i, o: (o.register_hook(seen.append), None)[1])
        x0 = normal(1, 2, 3, 4, 4, device=device).requires_grad_()
        unit(x0, T).mul(torch.arange(16.0, device=device).view(4, 4)).sum().backward()
        return [x0.grad, *(g for g in seen if g is not None)]

    reference, fused = both(LIF, call, device)
    assert len(reference) > 3
    same(reference, fused)


def test_a_gradient_that_a_hook_changes(device: str) -> None:
    def call(neuron: Any) -> list[Tensor]:
        x0 = torch.linspace(-1, 3, 36, device=device).view(2, 3, 6).requires_grad_()
        x = x0.expand(T, 2, 3, 6)
        s = neuron(x)
        x.register_hook(lambda g: g.clamp(-1, 1) * 3)
        s.mul(torch.arange(T * 36.0, device=device).view(T, 2, 3, 6)).sum().backward()
        return [x0.grad]

    same(*both(LIF, call, device))


def reads(monkeypatch: pytest.MonkeyPatch, call: Callable[[], None]) -> list[bool]:
    """Of the kernels that ran backward, whether they gave the gradient of one frame."""
    found: list[bool] = []
    launch = CpuKernel.launch_backward

    def spy(self: CpuKernel, *args: Any) -> Any:
        found.append(self.signature.static)
        return launch(self, *args)

    monkeypatch.setattr(CpuKernel, "launch_backward", spy)
    call()
    return found


def test_networks_for_static_images_read_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = SpikingUnit(BatchNorm(3), PLIF(engine="cpu"))
    x0 = torch.randn(1, 2, 3, 4, 4).requires_grad_()

    def call() -> None:
        for _ in range(2):
            unit(x0, T).sum().backward()

    assert reads(monkeypatch, call) == [True, True]


@pytest.mark.parametrize("end", ["expand", "repeat"])
@pytest.mark.parametrize("leaf", [False, True])
def test_what_can_be_proved_is_read_once(end: str, leaf: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    neuron = DALIF(engine="cpu")
    x0 = torch.randn(2, 3, 6).requires_grad_()
    y = x0 if leaf else 2 * x0

    def call() -> None:
        neuron(ENDS[end](y)).sum().backward()

    assert reads(monkeypatch, call) == [True]


@pytest.mark.parametrize("end", ["unsqueeze", "view of it", "copies", "stack", "of more"])
def test_what_cannot_be_proved_is_not(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    neuron = LIF(engine="cpu")
    x0 = torch.randn(2, 3, 6).requires_grad_()
    assert reads(monkeypatch, lambda: neuron(ENDS[end](x0)).sum().backward()) == [False]


def test_a_frame_that_is_changed_after_it_was_repeated() -> None:
    def call(neuron: Any) -> list[Tensor]:
        x0 = torch.linspace(-1, 3, 36).view(1, 2, 3, 6).requires_grad_()
        frame = x0 * 1
        x = repeat(frame, T)
        frame.mul_(2)
        neuron(x).mul(torch.arange(36.0).view(2, 3, 6)).sum().backward()
        return [x0.grad]

    same(*both(LIF, call))


def test_under_checkpoint_and_hooks_for_saved_tensors() -> None:
    def call(neuron: Any) -> list[Tensor]:
        x0 = torch.linspace(-1, 3, 36).view(2, 3, 6).requires_grad_()

        def part(x0: Tensor) -> Tensor:
            return neuron((2 * x0).expand(T, 2, 3, 6)) * torch.arange(6.0)

        s = torch.utils.checkpoint.checkpoint(part, x0, use_reentrant=False)
        with torch.autograd.graph.save_on_cpu():
            s = s + part(x0)
        s.sum().backward()
        return [s.detach(), x0.grad]

    same(*both(KLIF, call))


def test_the_node_called_by_hand() -> None:
    x0 = torch.linspace(-1, 3, 36).view(2, 3, 6).requires_grad_()
    x = x0.expand(T, 2, 3, 6)
    s = LIF(engine="cpu")(x)
    g = torch.randn(T, 2, 3, 6)
    by_hand = s.grad_fn.apply(g)[1]  # of the arguments of Fused.forward, x is the second
    other = x0.detach().expand(T, 2, 3, 6).clone().requires_grad_()
    (expected,) = torch.autograd.grad(LIF(engine="reference")(other), other, g)
    assert close(by_hand, expected, 1e-6)
