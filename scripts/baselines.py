"""Who is timed beside the fused kernels, on what, and what they must agree on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jelly
import torch
from torch import Tensor, nn

from snnbench.kernels.engines.registry import engines_for, trouble
from snnbench.neurons import SpikingNeuron, registry
from snnbench.registry import keywords

FLIPS, CLOSE = 1e-5, 1e-4
NEURONS = {cls.__name__: cls for cls in registry.own().values() if cls.step is not SpikingNeuron.step}


@dataclasses.dataclass
class Case:
    """One row: a neuron on a tensor [T, B, C, H, W]."""

    neuron: str
    steps: int
    dtype: torch.dtype
    size: str
    shape: tuple[int, ...]
    device: str

    def input(self) -> Tensor:
        return (self.noise(0) * 0.8 + 0.4).to(self.dtype)

    def noise(self, seed: int) -> Tensor:
        """Normal numbers in float32, made on the device: another one's would have to be brought there."""
        generator = torch.Generator(self.device).manual_seed(seed)
        return torch.randn(self.steps, *self.shape, generator=generator, device=self.device)

    def build(self, engine: str) -> SpikingNeuron:
        torch.manual_seed(0)
        cls = NEURONS[self.neuron]
        options: dict[str, Any] = {"surrogate": "atan", "engine": engine, "channels": self.shape[1]}
        if "T" in keywords(cls):
            options["T"] = self.steps
        return cls(**options).to(self.device)


Step = Callable[[], tuple[Tensor, Tensor]]


def fused_engines(device: str) -> list[str]:
    """The names of the engines that can be had for a kind of device, the preferred one first.

    Raises:
        SystemExit: there is none; the message says why.
    """
    reasons = {engine.name: trouble(engine.name) for engine in engines_for(device)}
    usable = [name for name, reason in reasons.items() if not reason]
    if not usable:
        raise SystemExit(f"no fused engine for {device}: {'; '.join(reasons.values()) or 'none is registered'}")
    return usable


def forward_backward(
    layer: Callable[[Tensor], Tensor], x: Tensor, g: Tensor, before: Callable[[], Any], learns: bool = False
) -> Step:
    """A function that runs one forward and backward pass and returns the spikes and x's gradient.

    The backward is that of training if it `learns`: the gradients of the layer's parameters are asked for, too.
    """
    leaf = x.detach().requires_grad_()
    parameters = [p for p in layer.parameters() if p.requires_grad] if learns and isinstance(layer, nn.Module) else []

    def step() -> tuple[Tensor, Tensor]:
        before()
        s = layer(leaf)
        gx, *_ = torch.autograd.grad(s, [leaf, *parameters], g, allow_unused=True)
        return s, gx

    return step


def contestants(case: Case, names: set[str], learns: bool = False) -> dict[str, Step]:
    """Everything that can run the case, by name; "fused" (the engine that auto takes) and "reference" always."""
    x = case.input()
    g = case.noise(1).to(case.dtype)

    def step(layer: Callable[[Tensor], Tensor], before: Callable[[], Any] = lambda: None) -> Step:
        return forward_backward(layer, x, g, before, learns)

    first, *others = fused_engines(case.device)
    engines = {"fused": first, "reference": "reference", **{f"fused-{name}": name for name in others}}
    found = {name: step(case.build(engine)) for name, engine in engines.items()}
    if "compile" in names:
        found["compile"] = step(torch.compile(case.build("reference"), dynamic=False))
    if "spikingjelly" in names:
        found |= {name: step(layer, layer.reset) for name, layer in spikingjelly(case).items()}
    if "snntorch" in names and (leaky := snntorch(case)) is not None:
        found["snntorch"] = step(leaky)
    return found


def spikingjelly(case: Case) -> dict[str, Any]:
    """SpikingJelly's layers of the same neuron, one for each backend that this process can have."""
    try:
        from spikingjelly.activation_based import neuron, surrogate
    except ImportError:
        return {}
    slope = {"surrogate_function": surrogate.ATan(alpha=2.0), "step_mode": "m"}
    build = {
        "IF": lambda: neuron.IFNode(**slope),
        "LIF": lambda: neuron.LIFNode(tau=2.0, **slope),
        "PLIF": lambda: neuron.ParametricLIFNode(init_tau=2.0, detach_reset=True, **slope),
        "KLIF": lambda: neuron.KLIFNode(tau=2.0, **slope),
        "CLIF": lambda: neuron.ComplementaryLIFNode(tau=2.0, **slope),
    }.get(case.neuron)
    layers = {}
    if build is not None:
        for name, backend in jelly.backends(case.neuron.lower(), case.device).items():
            layer = build().to(case.device)
            if backend is not None:
                layer.backend = backend
            layers[f"spikingjelly-{name}"] = layer
    return layers


def snntorch(case: Case) -> Callable[[Tensor], Tensor] | None:
    """snnTorch's Leaky, in the loop over time that its documentation teaches; for LIF alone, with its own decay."""
    if case.neuron != "LIF":
        return None
    try:
        import snntorch as snn
    except ImportError:
        return None
    leaky = snn.Leaky(beta=0.5, reset_mechanism="zero", spike_grad=snn.surrogate.atan(alpha=2.0)).to(case.device)

    def run(x: Tensor) -> Tensor:
        v, spikes = leaky.init_leaky(), []
        for current in x:
            s, v = leaky(current, v)
            spikes.append(s)
        return torch.stack(spikes)

    return run


def difference(ours: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> str | None:
    """What is wrong with a contestant's spikes or gradient, or None; a gradient may be rounded the other way."""
    flips = (ours[0] != expected[0]).float().mean().item()
    if flips > FLIPS:
        return f"{flips:.1e} of the spikes differ"
    scale = expected[1].float().abs().max().item()
    rounding = torch.finfo(expected[1].dtype).eps * expected[1].float().abs()
    away = (ours[1].float() - expected[1].float()).abs() > CLOSE * scale + rounding
    if away.float().mean().item() > 100 * FLIPS:
        return f"{away.float().mean().item():.1e} of the gradient differs"
    return None
