"""Reads in what a step makes: functions, generators, classes, objects; and in functions that are very large."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

from forms import FORMS, Change, Part, first, reads, second
from torch import Tensor


class Fresh:
    gain = 1.5


def around(part: Any, other: Any) -> dict[str, Any]:
    """Functions with variables around them."""

    def a_generator_around(self: Any, x: Tensor) -> Tensor:
        return x * sum(part.value for _ in range(1))

    def a_function_of_two_variables_around(self: Any, x: Tensor) -> Tensor:
        return x * (lambda: part.value * other.value)()

    def a_name_around_and_in_a_comprehension(self: Any, x: Tensor) -> Tensor:
        return x * sum([part.value for part in self.parts]) * part.value

    def a_name_around_and_in_functions_of_a_comprehension(self: Any, x: Tensor) -> Tensor:
        return x * [lambda: part.value for part in self.parts][1]() * part.value  # noqa: B023

    def a_class_in_step(self: Any, x: Tensor) -> Tensor:
        class Own:
            part = self.parts[0]
            gain = part.value

        return x * Own.gain * part.value

    return {name: value for name, value in locals().items() if isinstance(value, types.FunctionType)}


def cell(name: str, value: float) -> Change:
    """Another object in a variable around the function."""

    def change(n: Any) -> None:
        function = type(n).drive
        function.__closure__[function.__code__.co_freevars.index(name)].cell_contents = Part(value)

    return change


for key, function in around(Part(1.5), Part(1.5)).items():
    FORMS[key.replace("_", " ")] = function, second if "comprehension" in key else cell("part", 0.25)
FORMS["the other variable around"] = FORMS["a function of two variables around"][0], cell("other", 0.25)
FORMS["what a class in step reads"] = FORMS["a class in step"][0], first


@reads(first)
def a_function_in_step(self: Any, x: Tensor) -> Tensor:
    def gains(parts: Any = self.parts) -> Iterator[float]:
        def one(part: Any) -> Any:
            return part.value

        yield from map(one, parts)

    return x * sum(gains())


@reads(lambda n: setattr(Fresh, "gain", 0.25))
def a_class_attribute_of_a_new_object(self: Any, x: Tensor) -> Tensor:
    new = Fresh()
    return x * new.gain


@reads(lambda n: setattr(Fresh, "gain", 0.25))
def a_class_attribute_of_what_a_call_gives(self: Any, x: Tensor) -> Tensor:
    return x * Fresh().gain


@reads(first)
def one_of_many_functions_of_a_kind(self: Any, x: Tensor) -> Tensor:
    return x * self.getters[0]()


@reads(second)
def another_of_many_functions_of_a_kind(self: Any, x: Tensor) -> Tensor:
    return x * self.getters[1]()


@reads(first)
def a_generator_that_is_left(self: Any, x: Tensor) -> Tensor:
    return x * next(part.value for part in self.parts)


@reads(second)
def a_generator_that_is_closed(self: Any, x: Tensor) -> Tensor:
    def gains() -> Iterator[float]:
        try:
            yield self.parts[0].value
        finally:
            found.append(self.parts[1].value)

    found: list[float] = []
    for gain in gains():
        x = x * gain
        break
    return x * found[0] if found else x * self.parts[1].value


@reads(lambda n: setattr(Fresh, "missing", 0.25))
def what_a_new_object_has_not(self: Any, x: Tensor) -> Tensor:
    new = Fresh()
    try:
        return x * new.missing
    except AttributeError:
        return x


@reads(lambda n: setattr(Fresh, "missing", 0.25))
def what_a_new_object_is_asked_for(self: Any, x: Tensor) -> Tensor:
    return x * getattr(Fresh(), "missing", 1.5)


@reads(second)
def a_new_function_of_a_kind(self: Any, x: Tensor) -> Tensor:
    return x * getter(self.parts[1])()


def getter(part: Any) -> Any:
    return lambda: part.value


MANY = 300
"""More names than fit the argument of one instruction."""
TEXT = "\n".join(
    [
        "def drive(self, x):",
        *(f"    v{i} = self.a{i}" for i in range(MANY)),
        "    last = self.parts[1]",
        f"    return x * g{MANY - 1}.value * last.last_of_many * v{MANY - 1} * self.number",
    ]
)
NAMES: dict[str, Any] = {f"g{i}": Part(1.5) for i in range(MANY)}
exec(TEXT, NAMES)
FORMS["the last of many attributes"] = NAMES["drive"], lambda n: setattr(n, f"a{MANY - 1}", 0.25)
FORMS["the last of many names"] = NAMES["drive"], lambda n: setattr(n.parts[1], "last_of_many", 0.25)
GLOBALS = f"def drive(self, x):\n    [{', '.join(f'g{i}' for i in range(MANY))}]\n    return x * g{MANY - 1}.value"
exec(GLOBALS, NAMES)
FORMS["the last of many globals"] = NAMES["drive"], lambda n: setattr(NAMES[f"g{MANY - 1}"], "value", 0.25)
if sys.version_info >= (3, 12):
    OWN: dict[str, Any] = {}
    exec("def drive(self, x):\n    def get[T](one: T): return one.value\n    return x * get(self.parts[0])", OWN)
    FORMS["a function with a type parameter"] = OWN["drive"], first
