"""What a step may do that keeps it from being fused, and what the line about it names."""

from __future__ import annotations

import functools
import random
import time
import types
from typing import Any

import numpy as np
import torch
from torch import Tensor

GAIN = 1.5
SETTINGS = types.ModuleType("settings")
SETTINGS.GAIN = 1.5


def offset(x: Tensor) -> Tensor:
    return x + offset.by


offset.by = 0.5


WRITES: dict[str, tuple[Any, str]] = {}


def writes(named: str) -> Any:
    return lambda function: WRITES.setdefault(function.__name__, (function, named))


@writes("self.number")
def counts(self: Any, x: Tensor) -> Tensor:
    self.number += 1
    return x * self.number


@writes("self.last")
def remembers(self: Any, x: Tensor) -> Tensor:
    self.last = x
    return x


@writes("self.number")
def sets_by_name(self: Any, x: Tensor) -> Tensor:
    setattr(self, "number", getattr(self, "number") + 1)  # noqa: B009, B010
    return x * self.number


@writes("self.numbers")
def appends(self: Any, x: Tensor) -> Tensor:
    self.numbers.append(1)
    return x * len(self.numbers)


@writes("self.table['deep']")
def sets_an_entry(self: Any, x: Tensor) -> Tensor:
    self.table["deep"]["gain"] += 1
    return x * self.table["deep"]["gain"]


@writes("self.config.inner.value")
def sets_deep(self: Any, x: Tensor) -> Tensor:
    self.config.inner.value += 1
    return x * self.config.inner.value


@writes("self.slots.value")
def sets_a_slot(self: Any, x: Tensor) -> Tensor:
    self.slots.value += 1
    return x * self.slots.value


@writes("shared")
def sets_the_class(self: Any, x: Tensor) -> Tensor:
    type(self).shared += 1
    return x * self.shared


@writes("GAIN")
def sets_a_global(self: Any, x: Tensor) -> Tensor:
    global GAIN
    GAIN += 1
    return x * GAIN


@writes("SETTINGS.GAIN")
def sets_a_module(self: Any, x: Tensor) -> Tensor:
    SETTINGS.GAIN += 1
    return x * SETTINGS.GAIN


@writes("offset.by")
def sets_a_function(self: Any, x: Tensor) -> Tensor:
    offset.by += 1
    return offset(x)


@writes("self.array")
def sets_an_array(self: Any, x: Tensor) -> Tensor:
    self.array[0] += 1
    return x * float(self.array[0])


@writes("self.buffer")
def sets_a_buffer(self: Any, x: Tensor) -> Tensor:
    self.buffer.add_(1)
    return x * self.buffer.item()


@writes("self.buffer")
def replaces_a_buffer(self: Any, x: Tensor) -> Tensor:
    self.buffer = self.buffer + 1
    return x * self.buffer.item()


@writes("self.layer.gain")
def sets_a_submodule(self: Any, x: Tensor) -> Tensor:
    self.layer.gain += 1
    return x * self.layer.gain


@writes("draws random numbers")
def draws(self: Any, x: Tensor) -> Tensor:
    return x + torch.rand_like(x)


@writes("draws random numbers")
def draws_for_nothing(self: Any, x: Tensor) -> Tensor:
    torch.rand(3)
    return x


@writes("random.Random")
def draws_in_python(self: Any, x: Tensor) -> Tensor:
    return x * random.random()


@writes("RandomState")
def draws_in_numpy(self: Any, x: Tensor) -> Tensor:
    return x * np.random.rand()


@writes("self.generator")
def draws_from_its_own(self: Any, x: Tensor) -> Tensor:
    return x * torch.rand((), generator=self.generator)


@writes("self.random")
def draws_from_its_own_in_python(self: Any, x: Tensor) -> Tensor:
    return x * self.random.random()


@writes("self.numpy_generator")
def draws_from_its_own_in_numpy(self: Any, x: Tensor) -> Tensor:
    return x * self.numpy_generator.random()


@writes("seed")
def reseeds(self: Any, x: Tensor) -> Tensor:
    torch.manual_seed(3)
    return x


@writes("time")
def asks_the_time(self: Any, x: Tensor) -> Tensor:
    return x * (1.0 if time.time() > 0 else 2.0)


@writes("__dict__")
def looks_at_all(self: Any, x: Tensor) -> Tensor:
    return x * self.__dict__["number"]


@writes("vars")
def looks_at_all_by_vars(self: Any, x: Tensor) -> Tensor:
    return x * vars(self)["number"]


@writes("globals")
def looks_at_globals(self: Any, x: Tensor) -> Tensor:
    return x * globals()["GAIN"]


@writes("eval")
def evaluates(self: Any, x: Tensor) -> Tensor:
    return x * eval("self.number")


@writes("self.many")
def looks_at_much(self: Any, x: Tensor) -> Tensor:
    return x * self.many[7]


@writes("self.large")
def looks_at_a_large_tensor(self: Any, x: Tensor) -> Tensor:
    return x * self.large.tolist()[0]


@writes("self.iterator")
def goes_on(self: Any, x: Tensor) -> Tensor:
    return x * next(self.iterator)


@writes("cached")
def asks_a_cache(self: Any, x: Tensor) -> Tensor:
    return x * cached(1)


@writes("print")
def prints(self: Any, x: Tensor) -> Tensor:
    print(end="")
    return x


@functools.lru_cache
def cached(number: int) -> float:
    return number * GAIN
