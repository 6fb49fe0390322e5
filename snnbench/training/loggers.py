"""The loggers of a run, and what they are told at its start and end; each epoch's values come from History."""

from __future__ import annotations

import contextlib
import json
import logging
import netrc
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import lightning
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from torch.utils.tensorboard.summary import hparams

from snnbench import commands
from snnbench.official import curve_of
from snnbench.runs.quantities import shown
from snnbench.runs.read import Run, read_run
from snnbench.runs.recipe import flat
from snnbench.runs.result import Unreadable
from snnbench.runs.schema import TEST_ACC, TEST_RATE
from snnbench.training import build

SHOWN = (TEST_ACC, "train/acc", "train/loss", TEST_RATE)


@contextlib.contextmanager
def logged(trainer: lightning.Trainer, cfg: DictConfig, folder: Path) -> Iterator[None]:
    """Inside, `trainer` has the config's loggers; then wandb learns how the run in `folder` ended, also from errors."""
    try:
        trainer.loggers = build_loggers(cfg)
        yield
    finally:
        close_wandb(folder)


def nodes(cfg: DictConfig) -> dict[str, DictConfig]:
    """The config's loggers by the keys at which they stand; that of an older run is alone, at `logger` itself.

    They are resolved, each text standing for itself.
    """
    if not cfg.get("logger"):
        return {}
    found: Any = OmegaConf.to_container(cfg.logger, resolve=True)
    named = {"logger": found} if "_target_" in found else {f"logger.{key}": node for key, node in found.items() if node}
    return {key: OmegaConf.create(commands.literals(node)) for key, node in named.items()}


def build_loggers(cfg: DictConfig) -> list[Any]:
    """The config's loggers, told the resolved config."""
    return [_build(cfg, key.rpartition(".")[2], node) for key, node in nodes(cfg).items()]


def _build(cfg: DictConfig, key: str, node: DictConfig) -> Any:
    wandb = str(node._target_).endswith(".WandbLogger")
    if wandb and node.get("offline") is False and "WANDB_MODE" not in os.environ and not has_wandb_key():
        node.offline = True
        logging.getLogger("snnbench").info(
            "wandb: no key here, so this run is logged offline; this uploads it later: %s",
            commands.command("scripts/sync_wandb.py", Path(cfg.paths.output_dir)),
        )
    again = {"id": earlier_wandb_id(node)} if wandb else {}
    logger = build.make(OmegaConf.create({key: node}), key, drop=(), **again)
    logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))
    if wandb:
        begin_wandb(logger, cfg)
    if isinstance(logger, TensorBoardLogger):
        begin_hparams(logger, cfg)
    return logger


@rank_zero_only
def begin_hparams(logger: TensorBoardLogger, cfg: DictConfig) -> None:
    """Tell TensorBoard's HPARAMS which options the run has, and which of its curves to show beside them."""
    options = {key: value for key, value in flat(_plain(cfg)).items() if not key.endswith("class")}
    told = {
        key: value if isinstance(value, bool | float | str) else json.dumps(value) for key, value in options.items()
    }
    for summary in hparams({**told, "seed": cfg.seed}, dict.fromkeys(SHOWN, 0.0)):
        logger.experiment._get_file_writer().add_summary(summary)


def _plain(cfg: DictConfig) -> dict[str, Any]:
    found: Any = OmegaConf.to_container(cfg, resolve=True)
    return {str(key): value for key, value in found.items()}


def official(cfg: DictConfig) -> Sequence[float]:
    """The authors' test accuracy by epoch, where the run's row has one; also beside a run with overrides."""
    curve = curve_of(cfg.row.get("id")) if cfg.row else None
    return curve.accuracy if curve else ()


def earlier_wandb_id(node: DictConfig) -> str | None:
    """The id of the logger's config or of the wandb run begun in the folder, so that a resumed run goes on as that."""
    earlier = sorted(Path(node.save_dir).glob("wandb/*run-*-*"))
    return node.get("id") or (earlier[-1].name.partition("run-")[2].partition("-")[2] if earlier else None)


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
    changed = run.overrides
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
