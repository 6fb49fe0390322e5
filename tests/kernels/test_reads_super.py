"""What super() finds, in whichever class of the neuron's, is a read of that class."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from reading import Neuron, compare
from torch import Tensor

from snnbench.kernels import plans


class Base(Neuron):
    gain = 1.5

    def scaled(self, x: Tensor) -> Tensor:
        return x * self.number

    @property
    def half(self) -> float:
        return self.number / 2


class Upper(Base):
    gain = 2.0

    def scaled(self, x: Tensor) -> Tensor:
        return super().scaled(x) * 2


class ReadsSuper(Upper):
    gain = 4.0
    own_gain = 3.0

    def drive(self, x: Tensor) -> Tensor:
        return super().scaled(x) * super().gain * super().half

    def scaled(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class NamesSuper(ReadsSuper):
    def drive(self, x: Tensor) -> Tensor:
        held = super(Upper, self)
        return super(ReadsSuper, self).scaled(x) * held.gain * super(Upper, self).gain

    @classmethod
    def of_the_class(cls) -> float:
        return super().gain


class AsksTheClass(NamesSuper):
    gain = 5.0

    def drive(self, x: Tensor) -> Tensor:
        return x * self.of_the_class() * sum([super(NamesSuper, self).gain for _ in range(2)])


SUPER: dict[str, tuple[type, type, str, Any]] = {
    "an attribute": (ReadsSuper, Upper, "gain", 0.25),
    "a new attribute": (ReadsSuper, Upper, "gain", None),
    "a method": (ReadsSuper, Upper, "scaled", lambda self, x: x / 4),
    "a method farther up": (ReadsSuper, Base, "scaled", lambda self, x: x / 4),
    "a property": (ReadsSuper, Base, "half", property(lambda self: 0.25)),
    "an attribute behind a named class": (NamesSuper, Base, "gain", 0.25),
    "of a class method, and in a comprehension": (AsksTheClass, ReadsSuper, "gain", 0.25),
}
"""A neuron's class; and a class of its bases, a name there, and what it becomes, None for nothing."""


@pytest.mark.parametrize("case", SUPER)
def test_what_super_finds_may_change(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, owner, name, value = SUPER[case]
    torch.manual_seed(0)
    neuron, x = kind(), torch.randn(4, 2, 3)
    neuron.gain = 9.0  # of the neuron itself: super() does not see it
    before = compare(neuron, x)
    assert not plans.plan_of(neuron).obstacle
    if value is None:
        monkeypatch.delattr(owner, name)
    else:
        monkeypatch.setattr(owner, name, value)
    after = compare(neuron, x)
    assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True)), "the change changes nothing"
    neuron.number = 0.25  # which the methods read
    compare(neuron, x)
