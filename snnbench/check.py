"""Checks of single config values: each refusal is one line with the key, the value, what it must be, and what to do.

Every check takes the full key as a config spells it ("neuron.tau", "schedule.warmup") and gives the value back in the
type that it is used in. `also` names values that are taken as they are, such as None or "auto"; `hint` is a further
sentence for the message. All raise UserError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar

from snnbench.errors import UserError, did_you_mean

T = TypeVar("T")
LARGEST, LARGEST_WHOLE = 3.4028234663852886e38, 2**63 - 1  # what float32 and int64 hold
LONGEST = 80  # of a value in a message


def number(
    key: str, value: Any, interval: str = "(-inf, inf)", *, also: tuple[T, ...] = (), hint: str = ""
) -> float | T:
    """`value` as a float, if it lies in `interval`, written as in mathematics: "(1, inf)", "[0, 1]".

    Infinity, and what float32 has no number for, lies in no interval that is open there: a number is finite unless
    "inf]" says otherwise.
    """
    if _among(value, also):
        return value
    found = _real(value, interval)
    if found is None:
        raise _refusal(key, value, f"a {_kind(interval)}", also, hint)
    return found


def numbers(
    key: str,
    value: Any,
    interval: str = "(-inf, inf)",
    *,
    length: int | None = None,
    ascending: bool = False,
    hint: str = "",
) -> tuple[float, ...]:
    """The items of `value`, if it is a list of numbers in `interval`, of the given length or of any but 0.

    Where they must be `ascending`, equal ones may follow each other.
    """
    found = [_real(item, interval) for item in _items(value)]
    sound = [item for item in found if item is not None]
    ordered = not ascending or sound == sorted(sound)
    if not sound or len(sound) != len(found) or length not in (None, len(sound)) or not ordered:
        what = _kind(interval, "numbers") if not ascending else f"ascending {_kind(interval, 'numbers')}"
        raise _refusal(key, value, _list_of(what, length), (), hint)
    return tuple(sound)


def count(
    key: str, value: Any, least: int = 1, most: int | None = None, *, also: tuple[T, ...] = (), hint: str = ""
) -> int | T:
    """`value`, if it is a whole number from `least` to `most`. (4.0 is none: a float may have been rounded.)"""
    if _among(value, also):
        return value
    if not _whole(value, least, most):
        raise _refusal(key, value, f"a whole number {_range(least, most)}", also, hint)
    return int(value)


def counts(
    key: str,
    value: Any,
    least: int = 1,
    most: int | None = None,
    *,
    length: int | None = None,
    empty: bool = False,
    hint: str = "",
) -> tuple[int, ...]:
    """The items of `value`, if it is a list of whole numbers from `least` to `most`, of the given length or of any.

    An empty list is taken where `empty` says so.
    """
    found = _items(value)
    right = len(found) == length if length is not None else bool(found) or (empty and _is_list(value))
    if not right or not all(_whole(item, least, most) for item in found):
        raise _refusal(key, value, _list_of(f"whole numbers {_range(least, most)}", length), (), hint)
    return tuple(int(item) for item in found)


def flag(key: str, value: Any) -> bool:
    """`value`, if it is true or false. (The string "no" would count as true.)"""
    if not isinstance(value, bool):
        raise _refusal(key, value, "true or false", (), "")
    return value


def choice(key: str, value: Any, allowed: Iterable[str], *, hint: str = "") -> str:
    """`value`, if it is one of the names in `allowed`."""
    names = list(allowed)
    if not isinstance(value, str) or value not in names:
        near = did_you_mean(str(value), names)
        raise UserError(f"{key}={shown(value)}: unknown.{near} Allowed: {', '.join(names)}.{_sentence(hint)}")
    return value


def choices(key: str, value: Any, allowed: Iterable[str]) -> tuple[str, ...]:
    """The items of `value`, if it is a list, possibly empty, of names in `allowed`."""
    names = list(allowed)
    if not _is_list(value):
        raise _refusal(key, value, f"a list of names, each one of {', '.join(names)}", (), "")
    return tuple(choice(key, item, names) for item in value)


def callables(key: str, value: Any, *, hint: str = "") -> list[Callable[..., Any]]:
    """The items of `value`, if it is a list, possibly empty, of functions or other things that can be called."""
    if not _is_list(value) or not all(map(callable, value)):
        raise _refusal(key, value, "a list of transforms", (), hint)
    return list(value)


def shown(value: Any) -> str:
    """`value` as a config spells it, shortened where it is long."""
    plain = {None: "null", True: "true", False: "false"}
    text = plain[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _refusal(key: str, value: Any, what: str, also: Sequence[Any], hint: str) -> UserError:
    others = [item if isinstance(item, str) else shown(item) for item in also]
    *most, last = [what, *others]
    near = did_you_mean(value, [item for item in also if isinstance(item, str)]) if isinstance(value, str) else ""
    wanted = f"{', '.join(most)}, or {last}" if most else last
    return UserError(f"{key}={shown(value)}: must be {wanted}.{near}{_sentence(hint)}")


def _sentence(hint: str) -> str:
    return f" {hint}" if hint else ""


def _among(value: Any, also: Sequence[Any]) -> bool:
    """Whether `value` is one of these; 1 is not true, and 0.0 not false."""
    return any(type(value) is type(item) and value == item for item in also)


def _real(value: Any, interval: str) -> float | None:
    """`value` as a float, or None if it is no number or lies outside."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    low, high = (float(end) for end in interval[1:-1].split(","))
    if abs(found) > LARGEST:
        found = math.copysign(math.inf, found)  # as in a tensor
    above = found >= low if interval[0] == "[" else found > low  # not-a-number is neither
    below = found <= high if interval[-1] == "]" else found < high
    return found if above and below else None


def _whole(value: Any, least: int, most: int | None) -> bool:
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    return whole and least <= value <= (LARGEST_WHOLE if most is None else most)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _items(value: Any) -> list[Any]:
    return list(value) if _is_list(value) else []


def _kind(interval: str, noun: str = "number") -> str:
    return f"finite {noun}" if interval == "(-inf, inf)" else f"{noun} in {interval}"


def _range(least: int, most: int | None) -> str:
    return f"of at least {least}" if most is None else f"from {least} to {most}"


def _list_of(what: str, length: int | None) -> str:
    return f"a list of {what}" if length is None else f"a list of {what}, of length {length}"
