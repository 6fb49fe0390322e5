"""Range checks of the neurons' arguments: each refusal is one line that names the config key."""

from __future__ import annotations

import math
from typing import Any

from snnbench.errors import UserError, did_you_mean


def number(key: str, value: Any, interval: str = "(-inf, inf)") -> float:
    """`value` as a float, if it lies in `interval`, written as in mathematics: "(1, inf)", "[0, 1]".

    Raises:
        UserError: it is no number, or lies outside.
    """
    low, high = (float(end) for end in interval[1:-1].split(","))
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise UserError(f"neuron.{key}={value!r}: must be a number in {interval}.")
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    if not (above and below):
        raise UserError(f"neuron.{key}={value}: must lie in {interval}.")
    return float(value)


def count(key: str, value: Any) -> int:
    """`value`, if it is an integer of at least 1; else a UserError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"neuron.{key}={value!r}: must be a whole number of at least 1.")
    return value


def flag(key: str, value: Any) -> bool:
    """`value`, if it is true or false; else a UserError. (The string "no" would count as true.)"""
    if not isinstance(value, bool):
        raise UserError(f"neuron.{key}={value!r}: must be true or false.")
    return value


def choice(key: str, value: Any, allowed: tuple[str, ...]) -> str:
    """`value`, if it is one of `allowed`; else a UserError."""
    if value not in allowed:
        hint = did_you_mean(str(value), allowed)
        raise UserError(f"neuron.{key}={value!r}: unknown.{hint} Allowed: {', '.join(allowed)}.")
    return str(value)
