"""Ways to write a read: what neurons read here, and reads in comprehensions and of variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from reading import Gain
from torch import Tensor

GAIN = Gain(1.5)
Change = Callable[[Any], Any]
FORMS: dict[str, tuple[Any, Change]] = {}
ASIDE = {"a class pattern"}
"""What is right, but not fused."""


class Part(Gain):
    """Has what operators, `with` and calls ask for."""

    def __add__(self, other: float) -> float:
        return self.value + other

    def __getitem__(self, key: Any) -> float:
        return self.value

    def __iter__(self) -> Iterator[float]:
        yield self.value

    def __bool__(self) -> bool:
        return self.value > 1

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.value

    def __enter__(self) -> float:
        return self.value

    def __exit__(self, *error: object) -> None: ...

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)


def reads(change: Change) -> Callable[[Any], Any]:
    """A function `drive` of a neuron, and what changes what it reads."""

    def add(drive: Any) -> Any:
        FORMS[drive.__name__.removesuffix("_").replace("_", " ")] = drive, change
        return drive

    return add


def first(n: Any) -> None:
    n.parts[0].value = 0.25


def second(n: Any) -> None:
    n.parts[1].value = 0.25


def number(n: Any) -> None:
    n.number = 0.25


def inner(n: Any) -> None:
    n.config.inner.value = 0.25


def table(n: Any) -> None:
    n.table["deep"]["gain"] = 0.25


def twice(a: Any, b: Any) -> Any:
    return a * b


@reads(first)
def a_comprehension(self: Any, x: Tensor) -> Tensor:
    return x * sum([part.value for part in self.parts])


@reads(second)
def a_comprehension_with_a_condition(self: Any, x: Tensor) -> Tensor:
    return x * len([part for part in self.parts if part.value > 1])


@reads(second)
def nested_comprehensions(self: Any, x: Tensor) -> Tensor:
    return x * sum([sum([part.value for part in row]) for row in ([part] for part in self.parts)])


@reads(first)
def a_set_and_a_dict(self: Any, x: Tensor) -> Tensor:
    return x * max({part.value for part in self.parts}) * sum({i: p.value for i, p in enumerate(self.parts)}.values())


@reads(number)
def a_comprehension_that_reads_the_neuron(self: Any, x: Tensor) -> Tensor:
    return x * sum([self.number for _ in range(2)])


@reads(first)
def functions_made_in_a_comprehension(self: Any, x: Tensor) -> Tensor:
    return x * sum([get() for get in [lambda: part.value for part in self.parts[:1]]])  # noqa: B023


@reads(first)
def an_assignment_in_a_comprehension(self: Any, x: Tensor) -> Tensor:
    [last := part for part in self.parts[:1]]
    return x * last.value


@reads(number)
def an_assignment_within(self: Any, x: Tensor) -> Tensor:
    return x * gain if (gain := self.number) > 1 else x


@reads(second)
def two_variables_at_once(self: Any, x: Tensor) -> Tensor:
    one, other = self.parts
    return x * twice(one, other.value).value if one is other else x * twice(one.value, other.value)


@reads(second)
def a_variable_that_was_another(self: Any, x: Tensor) -> Tensor:
    part = self.parts[0]
    y = x * part.value
    part = self.parts[1]
    return y * part.value


@reads(second)
def a_variable_of_a_loop(self: Any, x: Tensor) -> Tensor:
    for part in self.parts:
        x = x * part.value
    return x


@reads(second)
def a_loop_that_is_left(self: Any, x: Tensor) -> Tensor:
    at = 0
    while True:
        part = self.parts[at]
        if at:
            break
        at += 1
    else:
        return x
    return x * part.value


@reads(number)
def a_variable_that_is_deleted(self: Any, x: Tensor) -> Tensor:
    neuron, other = self, x
    del other
    return x * neuron.number
