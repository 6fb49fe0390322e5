"""The loggers of a run, and what wandb is told at its start and end; each epoch's values come from History."""

from __future__ import annotations

import contextlib
import logging
import netrc
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import lightning
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from snnbench import commands
from snnbench.official import curve_of
from snnbench.runs.quantities import shown
from snnbench.runs.read import Run, read_run
from snnbench.runs.recipe import overrides
from snnbench.runs.result import Unreadable
from snnbench.training import build


@contextlib.contextmanager
def logged(trainer: lightning.Trainer, cfg: DictConfig, folder: Path) -> Iterator[None]:
    """Inside, `trainer` has the config's logger; then wandb learns how the run in `folder` ended, also from errors."""
    try:
        trainer.logger = build_logger(cfg) or None
        yield
    finally:
        close_wandb(folder)


def build_logger(cfg: DictConfig) -> Any:
    """The config's logger, told the resolved config; False for none. wandb without a key works offline."""
    if not (cfg.logger and cfg.logger.get("_target_")):
        return False
    wandb = str(cfg.logger._target_).endswith(".WandbLogger")
    if wandb and cfg.logger.get("offline") is False and "WANDB_MODE" not in os.environ and not has_wandb_key():
        cfg.logger.offline = True
        logging.getLogger("snnbench").info(
            "wandb: no key here, so this run is logged offline; this uploads it later: %s",
            commands.command("scripts/sync_wandb.py", Path(cfg.paths.output_dir)),
        )
    again = {"id": earlier_wandb_id(cfg)} if wandb else {}
    logger = build.make(cfg, "logger", drop=(), **again)
    logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
    if wandb:
        begin_wandb(logger, cfg)
    return logger


def official(cfg: DictConfig) -> Sequence[float]:
    """The authors' test accuracy by epoch, where the run's row has one; also beside a run with overrides."""
    curve = curve_of(cfg.row.get("id")) if cfg.row else None
    return curve.accuracy if curve else ()


def earlier_wandb_id(cfg: DictConfig) -> str | None:
    """The id of the config or of the wandb run begun in the folder, so that a resumed run goes on as the same one."""
    earlier = sorted(Path(cfg.logger.save_dir).glob("wandb/*run-*-*"))
    return cfg.logger.get("id") or (earlier[-1].name.partition("run-")[2].partition("-")[2] if earlier else None)


@rank_zero_only
def begin_wandb(logger: Any, cfg: DictConfig) -> None:
    """Tell wandb to chart over epochs instead of optimizer steps, and what the row's paper reports."""
    run = logger.experiment
    run.define_metric("epoch")
    run.define_metric("*", step_metric="epoch", overwrite=True)  # of Lightning, over optimizer steps
    if cfg.row and cfg.row.get("reported"):
        reported = cfg.row.reported
        values = {"id": cfg.row.get("id"), "reported": reported.get("acc")}
        values |= {key: reported.get(key) for key in ("protocol", "source")}
        curve = curve_of(values["id"])
        values |= {"official": curve.source} if curve else {}
        run.summary.update({f"row/{key}": value for key, value in values.items()})


@rank_zero_only
def close_wandb(folder: Path) -> None:
    """Tell wandb, where it is on, how the run in `folder` ended.

    Unless finished, it would take the next run of a sweep for this one going on. What goes wrong here is only warned
    of: it should neither hide the run's own error nor fail a run that has its result.
    """
    wandb = sys.modules.get("wandb")
    if wandb is None or wandb.run is None:
        return
    code = 1
    try:
        run = read_run(folder)
        code = 0 if run.status == "finished" else 1
        wandb.run.summary.update(outcome(run))
    except Unreadable:
        pass  # the run had not begun
    except Exception:
        logging.getLogger("snnbench").warning("wandb was not told the outcome", exc_info=True)
    finally:
        wandb.finish(exit_code=code)


def outcome(run: Run) -> dict[str, Any]:
    """What it ended with and, of a run of a row, the difference to the reported value.

    There is no difference for a run on other than the real data, one that ended before its last epoch, or one with
    overrides that may have changed the recipe: those stand in `row/overrides`.
    """
    values = {quantity.summary: quantity.of(run.result) for quantity in shown("wandb")}
    found: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    found |= {"status": run.status, "recipe": run.recipe, "provenance": run.provenance}
    reported = (run.config.get("row") or {}).get("reported")
    if not reported:
        return found
    changed = overrides(run.command)
    found["row/overrides"] = " ".join(changed)
    reached, expected = run.accuracy(reported.get("protocol")), reported.get("acc")
    whole = run.status == "finished" and run.epochs == run.planned
    if whole and run.provenance == "real" and not changed and reached is not None and expected is not None:
        found["row/difference"] = reached - expected
    return found


def has_wandb_key() -> bool:
    """A key or an identity token in the environment, or an entry for wandb's host where `wandb login` leaves it."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "")).netloc or "wandb"
    try:
        return any(host in known for known in netrc.netrc(os.environ.get("NETRC")).hosts)
    except (OSError, netrc.NetrcParseError):
        return False
