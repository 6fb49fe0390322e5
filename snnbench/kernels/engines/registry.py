"""The engines there are, by name, and for each kind of device in order of preference."""

from __future__ import annotations

import functools

from snnbench.errors import UserError, did_you_mean
from snnbench.kernels.cell import NoEngine
from snnbench.kernels.engines.contract import Engine

AUTO, REFERENCE = "auto", "reference"

_engines: dict[str, Engine] = {}


def register(engine: Engine, before: str | None = None) -> None:
    """Offer `engine` to all neurons: by its name, and to "auto" behind the engines that are there already.

    Args:
        engine: it is not asked to do anything yet.
        before: the name of an engine that "auto" shall prefer less.

    Raises:
        ValueError: the name is taken, or there is no engine called `before`.
    """
    if engine.name in engine_names():
        raise ValueError(f"there is already an engine called {engine.name!r}")
    if before is not None and before not in _engines:
        raise ValueError(f"there is no engine called {before!r}; there are {', '.join(_engines)}")
    behind = list(_engines)[list(_engines).index(before) :] if before else []
    _engines[engine.name] = engine
    for name in behind:
        _engines[name] = _engines.pop(name)


def engine_names() -> tuple[str, ...]:
    """What `engine=` may be: "auto", "reference", and the registered engines in order of preference."""
    return (AUTO, REFERENCE, *_engines)


def check_engine(engine: str) -> str:
    """`engine`, if it is one of `engine_names()`; else a UserError."""
    names = engine_names()
    if engine not in names:
        raise UserError(f"engine={engine!r}: unknown.{did_you_mean(engine, names)} Allowed: {', '.join(names)}.")
    return engine


def registered() -> list[Engine]:
    """All engines, in order of preference."""
    return list(_engines.values())


def engines_for(device: str) -> list[Engine]:
    """The engines of a kind of device ("cpu", "cuda", ...), in order of preference."""
    return [engine for engine in _engines.values() if engine.device == device]


def engine_called(name: str) -> Engine:
    """The registered engine of this name; a UserError if there is none."""
    return _engines[check_engine(name)]


@functools.cache
def trouble(name: str) -> str:
    """Why the engine `name` cannot be had in this process; "" if it can. It is checked once."""
    try:
        engine_called(name).check()
    except NoEngine as error:
        return str(error)
    return ""
