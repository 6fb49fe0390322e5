"""What a quantity is: a number that a run ends with, where it stands in result.json, and how it is shown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Place = Literal["report", "sweep", "comparison", "runs", "differences", "axes", "wandb"]
PLACES: tuple[str, ...] = get_args(Place)


@dataclass(frozen=True)
class Unit:
    """A unit of `size` units of that in which result.json has the value."""

    name: str
    size: float = 1.0


PICOJOULE = (Unit("pJ"), Unit("nJ", 1e3), Unit("µJ", 1e6), Unit("mJ", 1e9), Unit("J", 1e12))
BYTE = (Unit("B"), Unit("KiB", 2**10), Unit("MiB", 2**20), Unit("GiB", 2**30))
SECOND = (Unit("s"), Unit("min", 60), Unit("h", 3600))
PERCENT = (Unit("%"),)
NONE = (Unit(""),)


@dataclass(frozen=True)
class Format:
    """How a number is written.

    Attributes:
        kind: "fixed" with so many decimals; "significant" with so many digits; "count", a whole number; "duration",
            from seconds, with its own units.
    """

    kind: Literal["fixed", "significant", "count", "duration"]
    digits: int = 0

    def __call__(self, value: float) -> str:
        if self.kind == "significant":
            return f"{float(f'{value:.{self.digits}g}'):,.12g}"
        return _duration(value) if self.kind == "duration" else f"{value:,.{self.digits}f}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@dataclass(frozen=True)
class Quantity:
    """A number that a run ends with.

    Attributes:
        key: its name here and on the page; an identifier.
        path: its place in result.json, keys parted by dots; what stands there may also be a schema.Chosen.
        label: what it is, in full.
        short: the same in a word or two, for the head of a column.
        over: what several columns beside each other have in common, to stand over their heads once.
        units: from the one in which it is recorded to the largest that it may be shown in.
        words: its unit where that is no symbol.
        format: how it is written.
        better: "higher" or "lower" where one value is better than another.
        shown: in the last thing that a run prints, in the table of a sweep or of a comparison, among the dashboard's
            runs (where it is hidden otherwise), differences and axes, in wandb's summary.
        only: values by path that result.json must have, lest it is another quantity.
        later: keys and values for eval.py, which then measures it in a finished run.
        needs: what a run must have been given to have it.
    """

    key: str
    path: str
    label: str
    short: str
    over: str = ""
    units: tuple[Unit, ...] = NONE
    words: str = ""
    format: Format = Format("significant", 4)
    better: Literal["higher", "lower"] | None = None
    shown: tuple[Place, ...] = ("report", "comparison", "runs", "differences", "axes", "wandb")
    only: Mapping[str, Any] | None = None
    later: Mapping[str, Any] | None = None
    needs: str = ""

    def __post_init__(self) -> None:
        unknown = set(self.shown) - set(PLACES)
        if not self.key.isidentifier():
            raise ValueError(f"quantity {self.key!r}: not an identifier")
        if unknown:
            raise ValueError(f"quantity {self.key}: shown in {sorted(unknown)}. Allowed: {', '.join(PLACES)}")

    def of(self, result: Mapping[str, Any]) -> float | None:
        """The value in a result.json, in units[0]; None where there is none, or none that is finite."""
        if any(_at(result, path) != value for path, value in (self.only or {}).items()):
            return None
        return finite(_chosen(_at(result, self.path)))

    def epoch_of(self, result: Mapping[str, Any]) -> int | None:
        """The epoch that the value was chosen at, counted from 0; None where it was not chosen, or is not there."""
        found = _at(result, self.path)
        epoch = finite(found.get("epoch")) if isinstance(found, Mapping) else None
        return None if epoch is None else int(epoch)

    def unit(self, values: Iterable[float | None]) -> Unit:
        """That in which some values are shown beside each other: the largest that the largest of them fills."""
        if self.format.kind == "duration":
            return NONE[0]
        largest = max((abs(value) for value in values if value is not None), default=0.0)
        return next((unit for unit in reversed(self.units) if largest >= unit.size), self.units[0])

    def number(self, value: float, unit: Unit) -> str:
        """The value as text without its unit."""
        return self.format(value / unit.size)

    def text(self, value: float) -> str:
        """The value as text with its unit."""
        unit = self.unit([value])
        return f"{self.number(value, unit)} {unit.name or self.words}".strip()

    def head(self, unit: Unit) -> str:
        """The head of a column of values in `unit`."""
        return f"{self.short} {unit.name}".strip()

    @property
    def axis(self) -> str:
        """The title of an axis, without a unit that depends on the values."""
        unit = self.words or (self.units[0].name if len(self.units) == 1 else "")
        return f"{self.label}, {unit}" if unit else self.label

    @property
    def summary(self) -> str:
        """Its name in wandb's summary."""
        return self.path.replace(".", "/")


def _at(result: Any, path: str) -> Any:
    for key in path.split("."):
        result = result.get(key) if isinstance(result, Mapping) else None
    return result


def _chosen(found: Any) -> Any:
    return found.get("acc") if isinstance(found, Mapping) else found


def finite(value: Any) -> float | None:
    """The number as it is, or None for what is none or not finite."""
    try:
        sound = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return None
    return value if sound else None
