"""Where the data of a run lies: given with the run, or by $SNNBENCH_DATA, and found again from anywhere."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from snnbench.commands import home, literal
from snnbench.runs.schema import ENVIRONMENTS

VARIABLE = "SNNBENCH_DATA"
GIVEN = "data_given"
"""Key of `paths` in a run's config: whether its data folder was given with the run, and not by the environment."""
_KEYS = ("root", "cache")  # of `data`


def gives_data(words: Sequence[str]) -> bool:
    """Whether overrides say where the data lies."""
    return any(word.lstrip("+").partition("=")[0] in ("paths.data", "data.root") for word in words)


def fix_data_paths(cfg: DictConfig, words: Sequence[str]) -> None:
    """Make the data's paths in a new run's config absolute, and note whether they were given.

    Args:
        cfg: the run's config; changed.
        words: its overrides.
    """
    default = os.environ.get(VARIABLE, "data")
    given = gives_data(words) or str(cfg.paths.data) != default
    data: Any = OmegaConf.to_container(cfg.data, resolve=True)
    paths = {key: absolute(data[key]) for key in _KEYS if isinstance(data.get(key), str)}
    OmegaConf.update(cfg, "paths", {"data": literal(absolute(str(cfg.paths.data))), GIVEN: given}, force_add=True)
    for key, path in paths.items():
        cfg.data[key] = literal(path)


def absolute(path: str) -> str:
    return os.path.abspath(home(path))


def data_folder(folder: Path, cfg: DictConfig, wanted: str | None = None) -> str:
    """Where the data of an earlier run is to be read from.

    Args:
        folder: the run's.
        cfg: its config.
        wanted: as said now; else it is where the run was told to find it, or else $SNNBENCH_DATA, where that is set.
    """
    if wanted is not None:
        return absolute(str(wanted))
    elsewhere = os.environ.get(VARIABLE)
    return absolute(elsewhere) if elsewhere and not _given(folder, cfg) else str(cfg.paths.data)


def _given(folder: Path, cfg: DictConfig) -> bool:
    """As the config says; of an older run, as its first command says."""
    if GIVEN in cfg.paths:
        return bool(cfg.paths[GIVEN])
    try:
        first = (folder / ENVIRONMENTS).read_text().partition("\n")[0]
        return gives_data(str(json.loads(first)["command"]).split())
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
