"""Ways to write a read: patterns, strings, errors, operators, imports."""

from __future__ import annotations

import contextlib
from typing import Any

from forms import GAIN, Part, first, inner, number, reads, second, table
from reading import Mode
from torch import Tensor


@reads(number)
def a_value_pattern(self: Any, x: Tensor) -> Tensor:
    match self.number:
        case Mode.SOFT.value | 0.25:
            return x
        case self.limit:
            return 2 * x
    return 3 * x


@reads(table)
def a_mapping_pattern(self: Any, x: Tensor) -> Tensor:
    match self.table:
        case {"deep": {"gain": gain}}:
            return x * gain
    return x


@reads(lambda n: n.numbers.__setitem__(0, 0.25))
def a_sequence_pattern(self: Any, x: Tensor) -> Tensor:
    match self.numbers:
        case [gain, *_]:
            return x * gain
    return x


@reads(first)
def a_class_pattern(self: Any, x: Tensor) -> Tensor:
    match self.parts[0]:
        case Part(value=gain):
            return x * gain
    return x


@reads(number)
def an_f_string(self: Any, x: Tensor) -> Tensor:
    return x * float(f"{self.number:.4f}") * float(f"{self.number!r}")


@reads(first)
def an_f_string_of_an_object(self: Any, x: Tensor) -> Tensor:
    return x * float(f"{self.parts[0]:.{self.digits}f}")


@reads(lambda n: setattr(n, "digits", 0))
def the_format_of_an_f_string(self: Any, x: Tensor) -> Tensor:
    return x * float(f"{self.parts[0]:.{self.digits}f}")


@reads(lambda n: setattr(n, "missing", 0.25))
def what_is_caught(self: Any, x: Tensor) -> Tensor:
    try:
        return x * self.missing
    except AttributeError:
        return x * self.number
    finally:
        x = x * self.number


@reads(lambda n: setattr(n, "missing", 0.25))
def what_is_suppressed(self: Any, x: Tensor) -> Tensor:
    gain = self.number
    with contextlib.suppress(AttributeError):
        gain = self.missing
    return x * gain


@reads(number)
def what_is_read_after_an_error(self: Any, x: Tensor) -> Tensor:
    for key in ("other", "deep"):
        try:
            found = self.table[key]
        except KeyError:
            continue
        finally:
            x = x * self.number
    return x * found["gain"]


@reads(first)
def a_with_statement(self: Any, x: Tensor) -> Tensor:
    with self.parts[0] as gain:
        return x * gain


@reads(first)
def operators(self: Any, x: Tensor) -> Tensor:
    part = self.parts[0]
    return part(x) * (part + 1) * part["key"] * part[0:1] if part else x


@reads(second)
def unpacked_objects(self: Any, x: Tensor) -> Tensor:
    (gain,), (other,) = self.parts
    return x * gain * other


@reads(table)
def unpacked_entries(self: Any, x: Tensor) -> Tensor:
    return x * {**self.table, "one": 1}["deep"]["gain"] * dict(**self.table["deep"])["gain"]


@reads(lambda n: n.numbers.__setitem__(0, 0.25))
def slices_and_stars(self: Any, x: Tensor) -> Tensor:
    gain, *_ = [*self.numbers]
    return x * gain * max(*self.numbers[:1], 0.0)


@reads(number)
def comparisons_in_a_chain(self: Any, x: Tensor) -> Tensor:
    return x if 1 < self.number < 2 else 2 * x


@reads(inner)
def an_import(self: Any, x: Tensor) -> Tensor:
    import math as numbers
    from math import sqrt as root

    return x * root(self.config.inner.value) * numbers.sqrt(self.config.inner.value)


@reads(lambda n: setattr(GAIN, "value", 0.25))
def a_global_object(self: Any, x: Tensor) -> Tensor:
    return x * GAIN.value * (lambda: GAIN.value)()
