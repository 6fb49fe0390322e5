"""A run that goes on in other processes, or on another machine, than it began: `resume=<run> trainer.devices=1`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from snnbench.runs.folder import amended

KEYS = ("trainer.devices", "trainer.num_nodes", "trainer.strategy", "trainer.accelerator", "cuda_graph")
_NUMBER = ("devices", "num_nodes")


def move(run: DictConfig, given: dict[str, str], trained: int) -> None:
    """Give the config of an earlier run the processes that are asked for.

    `batch_size` is that of all processes, so its steps stay what they were; but a batch norm has the statistics of its
    own process's share. So where their number changes, `moved` says when it did, and is part of the recipe.

    Args:
        run: its config, which is changed.
        given: the values of KEYS that were typed.
        trained: epochs that it has.
    """
    before = {key: run.trainer.get(key, 1) for key in _NUMBER}
    for key, text in given.items():
        OmegaConf.update(run, key, yaml.safe_load(text), force_add=True)
    after = {key: run.trainer.get(key, 1) for key in _NUMBER}
    if after != before:
        run.moved = [*(run.get("moved") or []), {"at": trained, **before}]
        logging.getLogger("snnbench").info(
            "from epoch %d on with %s instead of %s; a batch norm has the statistics of its process's share of a batch",
            trained + 1,
            _said(after),
            _said(before),
        )


def _said(number: dict[str, Any]) -> str:
    return ", ".join(f"trainer.{key}={value}" for key, value in number.items())


def write(run: DictConfig, folder: Path) -> None:
    """Put what `move` changed into the config of the run; all else stays as it stands there."""
    now: Any = OmegaConf.to_container(run, resolve=True)
    with amended(folder) as found:
        for group, _, name in (key.rpartition(".") for key in KEYS):
            here, there = (now[group], found[group]) if group else (now, found)
            there.update({name: here[name]} if name in here else {})
        if run.get("moved"):
            found["moved"] = OmegaConf.to_container(run.moved)
