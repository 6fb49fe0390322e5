"""Going on with a run: its folder, its config, its last checkpoint."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from snnbench import commands
from snnbench.errors import UserError
from snnbench.runs.code import changes, code_of
from snnbench.runs.data_paths import gives_data
from snnbench.runs.folder import open_folder
from snnbench.runs.result import read_result
from snnbench.runs.schema import CHECKPOINTS, RESULT
from snnbench.training import longer, moved
from snnbench.training.checkpoint import read_checkpoint


def resumable(cfg: DictConfig) -> tuple[Path, DictConfig]:
    """The folder and the config of `cfg.resume`."""
    given = dict(word.split("=", 1) for word in words() if "=" in word)
    more = {key: value for key, value in given.items() if key in longer.KEYS}
    elsewhere = {key: value for key, value in given.items() if key in moved.KEYS}
    allowed = ("resume", "paths.data", *longer.KEYS, *moved.KEYS)
    others = [word for word in words() if word.partition("=")[0] not in allowed]
    if others:
        raise UserError(
            f"resume={cfg.resume}: takes everything from the run's own config, but paths.data=..., where it "
            f"runs ({', '.join(moved.KEYS)}), and for more of them epochs=...; leave out {shlex.join(others)}."
        )
    folder, old = reopen(cfg.resume, cfg.paths.data if gives_data(words()) else None, finished=bool(more))
    if more or elsewhere:
        last = last_of(folder)
        trained = read_checkpoint(Path(last))["epoch"] + 1 if last else 0
        if more:
            longer.extend(old, more, trained, cfg.resume, ended=_ended(folder, old))
        if elsewhere:
            moved.move(old, elsewhere, trained)
    return folder, old


def _ended(folder: Path, run: DictConfig) -> bool:
    """Whether the run is finished with the epochs that its config has now: not if it was killed as it got more."""
    result: Mapping[str, Any] = read_result(folder) if os.path.lexists(folder / RESULT) else {}
    return result.get("status") == "finished" and (result.get("epochs") or {}).get("planned") == run.epochs


def words() -> list[str]:
    """The overrides of this job."""
    return list(HydraConfig.get().overrides.task)


def reopen(path: str, data: str | None = None, *, finished: bool = False) -> tuple[Path, DictConfig]:
    """The folder and the config of the run at `path`, whose data lies in `data` now, where that is given.

    `finished`: whether it may be.
    """
    begun = os.path.lexists(Path(path) / RESULT)  # else it was killed in between, and is begun here
    folder, old = open_folder(path, begun=False, data=data)
    result: Mapping[str, Any] = read_result(folder) if begun else {}
    if result.get("status") == "finished" and not finished:
        raise UserError(
            f"resume={path}: this run is finished; its result is in {folder / RESULT}. For more epochs: "
            f"{commands.train(*longer.words(old, 2 * old.epochs), resume=Path(path))}"
        )
    edited = changes(result.get("code") or {}, code_of(OmegaConf.to_container(old, resolve=True)))  # type: ignore[arg-type]
    if edited:
        raise UserError(
            f"resume={path}: the code of {', '.join(edited)} is not what this run began with, and its numbers would be "
            "of neither. Bring that code back, or begin a new run."
        )
    old.resume = commands.literal(path)
    return folder, old


def last_of(folder: Path) -> str | None:
    """The run's last checkpoint, which was read and is whole; None before the first epoch's end."""
    last = folder / CHECKPOINTS / "last.ckpt"
    if not last.exists():
        return None
    read_checkpoint(last)
    return str(last)
