"""A neuron with everything that a step might read, and comparisons of engine=auto with the reference."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snnbench.kernels import bind
from snnbench.neurons import LIF


class Gain:
    def __init__(self, value: float) -> None:
        self.value = value


@dataclasses.dataclass
class Config:
    name: str = "a"
    inner: Gain = dataclasses.field(default_factory=lambda: Gain(1.5), compare=False)


class Mode(enum.Enum):
    SOFT = 0.5
    LOUD = 1.5


class Slots:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 1.5


Pair = collections.namedtuple("Pair", "low high")


class Neuron(LIF):
    """All that a step might read; `gain` of a subclass reads one of it."""

    shared = 1.5

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.number, self.numbers, self.table = 1.5, [1.5, [2.0]], {"deep": {"gain": 1.5}}
        self.array, self.pair, self.mode = np.array([1.5, 2.0]), Pair(0.5, 1.5), Mode.LOUD
        self.config, self.slots, self.partial = Config(), Slots(), functools.partial(torch.mul, other=1.5)
        self.function = lambda x: x * 1.5
        self.layer = nn.Linear(1, 1)
        self.layer.gain = 1.5
        self.register_buffer("buffer", torch.tensor(1.5))
        self.register_buffer("several", torch.tensor([1.0, 1.5]))

    def drive(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def step(self, x: Tensor, state: Any, c: Any, spike: Any) -> Any:
        return super().step(self.drive(x), state, c, spike)

    @property
    def doubled(self) -> float:
        return 2 * self.number


def outcome(neuron: Any, x: Tensor, engine: str = "auto") -> list[Tensor]:
    before, neuron.engine = neuron.engine, engine
    x = x.detach().requires_grad_()
    s, state = neuron.run(x)
    (gradient,) = torch.autograd.grad((s * torch.arange(s.numel()).view_as(s)).sum() + state["v"].sum(), x)
    neuron.engine = before
    return [s.detach(), state["v"].detach(), gradient]


def compare(neuron: Any, x: Tensor) -> list[Tensor]:
    found, expected = outcome(neuron, x), outcome(neuron, x, "reference")
    assert torch.equal(found[0], expected[0])
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    return expected


class Said:
    """The line that says why a neuron is not fused."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.caplog = caplog
        bind._tell.cache_clear()
        caplog.set_level(logging.WARNING, "snnbench")

    def line(self) -> str:
        (record,) = [record for record in self.caplog.records if record.levelno == logging.WARNING]
        return record.getMessage()
