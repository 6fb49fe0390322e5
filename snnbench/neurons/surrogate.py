"""Surrogate gradients: a Heaviside step forward, a named smooth derivative backward.

`u` is the distance of the membrane from its threshold, in units of the threshold's scale. Each surrogate
is a frozen dataclass with two formulas: `derivative(u)`, used in the backward pass, and `primitive(u)`, the
smooth function of which it is the derivative; the tests check one against the other.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.compiler import is_compiling, is_exporting

from snnbench.check import choice, flag, number, shown
from snnbench.errors import UserError, did_you_mean
from snnbench.registry import Registry, config_name

surrogates: Registry[Surrogate] = Registry("snnbench.neurons")


class _Spike(torch.autograd.Function):
    """H(u) forward, surrogate(u) backward. setup_context style, so that torch.func sees through it."""

    @staticmethod
    def forward(u: Tensor, surrogate: Surrogate) -> Tensor:
        return _heaviside(u, surrogate)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Surrogate], output: Tensor) -> None:
        u, ctx.surrogate = inputs
        ctx.save_for_backward(u)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (u,) = ctx.saved_tensors
        return grad * ctx.surrogate.derivative(u), None


class _EagerSpike(_Spike):
    """With what torch.func and forward-mode differentiation need, and torch.compile does not take."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Surrogate], output: Tensor) -> None:
        _Spike.setup_context(ctx, inputs, output)
        ctx.save_for_forward(inputs[0])

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        (u,) = ctx.saved_tensors
        return tangent * ctx.surrogate.derivative(u)


def _heaviside(u: Tensor, surrogate: Surrogate) -> Tensor:
    return ((u > 0) if surrogate.strict else (u >= 0)).to(u.dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Surrogate:
    """Callable `spike(u)`: 1 where u >= 0 (u > 0 if `strict`), else 0; the gradient is `derivative(u)`.

    A subclass, too, is a frozen dataclass with keywords alone. Configs know it by its name in small letters (MySlope:
    my_slope), or by its `config_name`. A parameter whose default is above 0 must be above 0.
    """

    config_name: ClassVar[str] = ""
    strict: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.config_name = vars(cls).get("config_name", config_name(cls.__name__))
        surrogates.enter(cls, cls.config_name)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            key, value = f"neuron.surrogate.{field.name}", getattr(self, field.name)
            if isinstance(field.default, bool):
                flag(key, value)
            elif isinstance(field.default, float):
                value = number(key, value, "(0, inf)" if field.default > 0 else "(-inf, inf)")
                object.__setattr__(self, field.name, value)

    def __call__(self, u: Tensor) -> Tensor:
        if is_exporting():  # a program of operations alone, which say the same
            return _heaviside(u, self).detach() + (u - u.detach()) * self.derivative(u.detach())
        spikes: Tensor = (_Spike if is_compiling() else _EagerSpike).apply(u, self)
        return spikes

    def derivative(self, u: Tensor) -> Tensor:
        raise NotImplementedError

    def primitive(self, u: Tensor) -> Tensor:
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ATan(Surrogate):
    """(alpha/2) / (1 + (pi alpha u / 2)^2); the peak is alpha/2.  PLIF, PSN, SEW-ResNet."""

    config_name = "atan"
    alpha: float = 2.0

    def derivative(self, u: Tensor) -> Tensor:
        z = u * (math.pi * self.alpha / 2)
        return (self.alpha / 2) / (1 + z * z)

    def primitive(self, u: Tensor) -> Tensor:
        return torch.atan(u * (math.pi * self.alpha / 2)) * (1 / math.pi) + 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sigmoid(Surrogate):
    """alpha sigma(alpha u) (1 - sigma(alpha u)); the peak is alpha/4.  SpikingJelly's default, KLIF."""

    alpha: float = 4.0

    def derivative(self, u: Tensor) -> Tensor:
        y = torch.sigmoid(u * self.alpha)
        return self.alpha * (y * (1 - y))

    def primitive(self, u: Tensor) -> Tensor:
        return torch.sigmoid(u * self.alpha)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rectangle(Surrogate):
    """1/width where |u| <= width/2, else 0.  tdBN, GLIF, CLIF, AR-LIF; their `a` is our `width`."""

    width: float = 1.0

    def derivative(self, u: Tensor) -> Tensor:
        return (u.abs() <= self.width / 2).to(u.dtype) * (1 / self.width)

    def primitive(self, u: Tensor) -> Tensor:
        return (u * (1 / self.width) + 0.5).clamp(0, 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Triangle(Surrogate):
    """max(0, gamma - |u|) / gamma^2; the peak is 1/gamma.  TET ("ZIF"), AR-LIF on CIFAR10-DVS."""

    gamma: float = 1.0

    def derivative(self, u: Tensor) -> Tensor:
        return (self.gamma - u.abs()).clamp(min=0) * (1 / self.gamma**2)

    def primitive(self, u: Tensor) -> Tensor:
        z = (u * (1 / self.gamma)).clamp(-1, 1)
        return 0.5 + z - 0.5 * z * z.abs()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tanh(Surrogate):
    """k (1 - tanh(k u)^2) / (2 tanh(k region)) where |u| <= region, else 0: Dspike.  MPBN, the DA-LIF precursor, FSTA.

    Those codes write it with c = clamp(h / V_th, 0, 1) and fire at c > 1/2: with V_th = 1 that is u = h - 1/2, and a
    region of 1/2. SML's has one of 1.
    """

    k: float = 3.0
    region: float = 0.5

    def derivative(self, u: Tensor) -> Tensor:
        y = torch.tanh(u * self.k)
        scale = self.k / (2 * math.tanh(self.k * self.region))
        return (u.abs() <= self.region).to(u.dtype) * ((1 - y * y) * scale)

    def primitive(self, u: Tensor) -> Tensor:
        edge = math.tanh(self.k * self.region)
        return (torch.tanh(u.clamp(-self.region, self.region) * self.k) + edge) * (1 / (2 * edge))


def make_surrogate(spec: str | Mapping[str, Any] | Surrogate) -> Surrogate:
    """A surrogate from its name, from `{name: ..., <parameters>}`, or as it is.

    Raises:
        UserError: unknown name or parameter, or a number that is not positive.
    """
    if isinstance(spec, Surrogate):
        return spec
    if not isinstance(spec, str | Mapping):
        raise UserError(f"neuron.surrogate={shown(spec)}: must be a name, or {{name: ..., <parameters>}}.")
    options: dict[str, Any] = {"name": spec} if isinstance(spec, str) else {str(k): v for k, v in spec.items()}
    known = surrogates.known()
    name = choice("neuron.surrogate", options.pop("name", ""), known)
    allowed = [field.name for field in dataclasses.fields(known[name])]
    for key in options:
        if key not in allowed:
            near = did_you_mean(key, allowed)
            raise UserError(
                f"neuron.surrogate.{key}: {name} has no such parameter.{near} Allowed: {', '.join(allowed)}."
            )
    return known[name](**options)
