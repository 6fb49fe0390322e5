"""The configs of rows: each composed once in a run of the tests, also where several processes share it."""

from __future__ import annotations

import functools
import os
import pickle
from pathlib import Path

import hydra
from omegaconf import DictConfig

from snnbench import config

shared: list[Path] = []
"""The folder that the workers of this run of the tests have together, if there are several (conftest.py)."""


def compose(row: str, *overrides: str) -> DictConfig:
    """The config of a row as it stands, checked; the caller's own."""
    return _composed(row, *overrides).copy()


@functools.cache
def _composed(row: str, *overrides: str) -> DictConfig:
    if overrides or not shared:
        return _compose(row, *overrides)
    path = shared[0] / f"{row.replace('/', '-')}.pickle"
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(pickle.dumps(_compose(row)))
        part.replace(path)
    found: DictConfig = pickle.loads(path.read_bytes())
    return found


def _compose(row: str, *overrides: str) -> DictConfig:
    config.register_schema()
    with hydra.initialize_config_dir(str(config.CONFIGS.absolute()), version_base="1.3"):
        cfg = hydra.compose("train", [f"experiment={row}", "paths.output_dir=out", *overrides])
    config.check(cfg)
    return cfg
