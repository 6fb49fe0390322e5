"""Classes by the names that configs give them: a class enters its registry by being defined."""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
import re
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def config_name(class_name: str) -> str:
    """How configs spell a class: MaskedPSN is masked_psn, LIFNoReset lif_no_reset, DALIF dalif."""
    return _WORDS.sub("_", class_name).lower()


def place(name: str, module: str, year: int | None) -> tuple[Any, ...]:
    """What orders classes in tables and figures: those that give their file its name, by year; then the others."""
    return name != module.rpartition(".")[2], year or 9999, name


class Registry(Generic[T]):
    """The classes of one kind.

    A name belongs to the first module that takes it. Defined anew there (a reload, a notebook's cell), a class takes
    the place of the older one; what another module calls the same is known as <module>.<class>.

    Args:
        home: the package that holds the project's own; others are users'.
    """

    def __init__(self, home: str) -> None:
        self.home = home
        self._classes: dict[str, type[T]] = {}

    def enter(self, cls: type[T], name: str) -> None:
        """Make `cls` known as `name`."""
        holder = self._classes.get(name)
        if holder is not None and holder.__module__ != cls.__module__:
            full = f"{cls.__module__}.{cls.__qualname__}"
            logging.getLogger("snnbench").warning(
                "%s: the name %s belongs to %s.%s, so it is known as %s",
                full, name, holder.__module__, holder.__qualname__, full,
            )  # fmt: skip
            name = full
        self._classes[name] = cls

    def known(self) -> dict[str, type[T]]:
        """All of them: the project's own in the order of `place`, then users'."""
        return dict(sorted(self._classes.items(), key=lambda item: (not self._is_own(item[1]), _place_of(*item))))

    def own(self) -> dict[str, type[T]]:
        """The project's."""
        return {name: cls for name, cls in self.known().items() if self._is_own(cls)}

    def _is_own(self, cls: type[T]) -> bool:
        return cls.__module__.startswith(f"{self.home}.")


def _place_of(name: str, cls: type) -> tuple[Any, ...]:
    return place(name, cls.__module__, vars(cls).get("year"))


def import_modules(package: str, paths: Iterable[str]) -> None:
    """Import every module of a package, so that their classes enter."""
    for module in pkgutil.iter_modules(paths):
        importlib.import_module(f"{package}.{module.name}")


def keywords(cls: type) -> dict[str, inspect.Parameter]:
    """What the constructor takes by name, with that of the bases to which it passes **options."""
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]  # type: ignore[misc]
        named = {p.name: p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
        found = named | found
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return found


def class_of(node: Mapping[str, Any]) -> str:
    """The name of the class that a config's node builds, without its module; "" if it says none."""
    return str(node.get("_target_", "")).rpartition(".")[2]
