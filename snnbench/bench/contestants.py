"""Who is compared: neurons as configs call them, each perhaps with options: `lif`, `lif:v_th=0.5,tau=4`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from snnbench.bench.suites import names
from snnbench.errors import UserError, did_you_mean
from snnbench.results import labels

OPTION = re.compile(r"[A-Za-z_][\w.]*=.+")


@dataclass(frozen=True)
class Contestant:
    """A neuron's config and options of its own."""

    neuron: str
    options: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The overrides that choose it."""
        return (f"neuron={self.neuron}", *(f"neuron.{option}" for option in self.options))

    @property
    def label(self) -> str:
        """As tables write it."""
        options = ", ".join(option.replace("=", " ") for option in self.options)
        return labels.neuron(self.neuron) + (f" ({options})" if options else "")


def contestant(text: str) -> Contestant:
    """`lif:v_th=0.5,tau=4` read.

    Raises:
        UserError: no neuron is called so, or an option is none.
    """
    name, colon, rest = text.partition(":")
    known = names("neuron")
    if name not in known:
        raise UserError(f"{text}: no neuron is called {name!r}.{did_you_mean(name, known)} Known: {', '.join(known)}.")
    options = tuple(rest.split(",")) if colon else ()
    wrong = next((option for option in options if not OPTION.fullmatch(option)), None)
    if wrong is not None:
        raise UserError(f"{text}: {wrong!r} is no option of a neuron. Write {name}:key=value,key=value.")
    return Contestant(name, options)


def contestants(text: str) -> tuple[Contestant, ...]:
    """Several, parted by commas; what has `=` and no neuron before it is one more option of the one before.

    Raises:
        UserError: one of them is none, or stands there twice.
    """
    parts: list[str] = []
    for part in text.split(","):
        if parts and re.match(r"[\w.]+=", part):
            parts[-1] += f",{part}"
        else:
            parts.append(part.strip())
    found = tuple(contestant(part) for part in parts)
    _once(found, text)
    return found


def _once(found: Iterable[Contestant], text: str) -> None:
    seen: set[Contestant] = set()
    for one in found:
        if one in seen:
            raise UserError(f"--against {text}: {one.label} stands there twice.")
        seen.add(one)
