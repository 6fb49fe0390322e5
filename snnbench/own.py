"""A project of one's own: modules in the folder that a command is started from, configs in its `configs/`.

Its configs stand behind this project's, so that they add options and replace none. A data set there needs no recipe and
no backbone of its own: it has those of `FALLBACK` until it does.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from snnbench import commands

FALLBACK = {
    "recipe": ("/recipe/digits@_global_", "_global_"),
    "backbone/default": ("/backbone/convnet@_here_", None),
}
"""Groups in which a data set looks for a config of its name: what one that stands in takes, and its package."""


def folder() -> Path | None:
    """`./configs`, unless there is none or it is that of a checkout of this project."""
    with contextlib.suppress(OSError):  # the folder that this is in was deleted
        found = Path.cwd() / "configs"
        return found if found.is_dir() and not (found / "train.yaml").is_file() else None
    return None


def register(more: Iterable[Path] = ()) -> None:
    """Let Hydra find `folder()`, and what data sets in it, or in the folders `more`, do without."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    Plugins.instance().register(_plugin())
    store = ConfigStore.instance()
    found = [path for path in (folder(), *more) if path]
    for name in sorted({path.stem for place in found for path in place.glob("data/*.yaml")}):
        for group, (base, package) in FALLBACK.items():
            if any((place / group / f"{name}.yaml").is_file() for place in (commands.ROOT / "configs", *found)):
                _forget(store.repo, *group.split("/"), f"{name}.yaml")
            else:
                store.store(name, {"defaults": [base]}, group, package)


def _forget(repo: dict[str, Any], *path: str) -> None:
    """Take out what an earlier call stored: Hydra would take it for the schema of the file of that name."""
    *groups, name = path
    for group in groups:
        repo = repo.get(group, {})
    repo.pop(name, None)


@functools.cache
def _plugin() -> type:
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class OwnConfigs(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            found = folder()
            if found is not None:
                search_path.append("own", f"file://{found}")

    return OwnConfigs


@contextlib.contextmanager
def importable() -> Iterator[None]:
    """Inside, modules in the folder that this is in can be imported, whichever script was started."""
    here = ""
    with contextlib.suppress(OSError):
        here = os.getcwd()
    added = bool(here) and not {here, ""} & {*sys.path}
    if added:
        sys.path.insert(0, here)
    try:
        yield
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
