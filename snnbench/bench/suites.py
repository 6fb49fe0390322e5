"""What a neuron is tried on: data sets with their networks and epochs, as configs/bench/<suite>.yaml lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snnbench import config
from snnbench.check import count, flag, number
from snnbench.errors import UserError, did_you_mean
from snnbench.files import read_yaml
from snnbench.overrides import CommandLine

GROUP = "bench"
SUITE_KEYS = {"margin", "seeds", "parts"}
MOST_SEEDS = 100  # the level of a look is simulated: half a minute and half a GB for these
PART_KEYS = {"data", "T", "samples", "words", "optional"}


@dataclass(frozen=True)
class Part:
    """One data set of a suite.

    Attributes:
        data: its config.
        steps: the numbers of timesteps T; accuracies of one seed are averaged over them.
        samples: how many training samples an epoch has, for the forecast.
        words: overrides of every run on it.
        optional: whether the suite goes on without it where its files are not there.
    """

    data: str
    steps: tuple[int, ...]
    samples: int
    words: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Suite:
    """Data sets, how few and how many seeds, and the margin in percentage points below which nothing matters."""

    name: str
    margin: float
    least: int
    most: int
    parts: tuple[Part, ...]


def names(group: str) -> list[str]:
    """The configs of a group, wherever they lie."""
    return CommandLine("train", config.folders()).options(group)


def read_suite(name: str) -> Suite:
    """The suite of that name.

    Raises:
        UserError: there is none, or its file says something else than it may.
    """
    path = next((path for folder in config.folders() if (path := folder / GROUP / f"{name}.yaml").is_file()), None)
    if path is None:
        known = names(GROUP)
        raise UserError(f"--suite {name}: is not known.{did_you_mean(name, known)} Known: {', '.join(known)}.")
    found = read_yaml(path)
    _keys(f"{path}", found, SUITE_KEYS)
    seeds = found["seeds"]
    _keys(f"{path}: seeds", seeds, {"least", "most"})
    least = count(f"{path}: seeds.least", seeds["least"], least=3)
    most = count(f"{path}: seeds.most", seeds["most"], least, most=MOST_SEEDS)
    margin = number(f"{path}: margin", found["margin"], "(0, inf)")
    if not isinstance(found["parts"], list) or not found["parts"]:
        raise UserError(f"{path}: parts: must be a list of data sets.")
    return Suite(name, margin, least, most, tuple(_part(f"{path}: parts", one) for one in found["parts"]))


def _part(where: str, found: Any) -> Part:
    _keys(where, found, PART_KEYS, needs={"data", "T", "samples"})
    data, known = str(found["data"]), names("data")
    if data not in known:
        raise UserError(f"{where}: data={data}: is not known.{did_you_mean(data, known)}")
    steps = found["T"] if isinstance(found["T"], list) else [found["T"]]
    words = found.get("words", [])
    if not isinstance(words, list) or not all(isinstance(word, str) and "=" in word for word in words):
        raise UserError(f"{where}: words: must be a list of overrides, such as [epochs=10].")
    return Part(
        data,
        tuple(count(f"{where}: T", T) for T in steps),
        count(f"{where}: samples", found["samples"]),
        tuple(words),
        flag(f"{where}: optional", found.get("optional", False)),
    )


def _keys(where: str, found: Any, known: set[str], needs: set[str] | None = None) -> None:
    """Refuse what is no mapping, has a key that nobody reads, or lacks one."""
    if not isinstance(found, Mapping):
        raise UserError(f"{where}: must have the keys {', '.join(sorted(known))}.")
    unknown = sorted(str(key) for key in found if key not in known)
    if unknown:
        raise UserError(f"{where}: {unknown[0]}: there is no such key.{did_you_mean(unknown[0], known)}")
    missing = sorted((known if needs is None else needs) - set(found))
    if missing:
        raise UserError(f"{where}: {missing[0]}: is missing.")
