"""One training run, new or resumed, from its config to its result.json."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from snnbench import config, log
from snnbench.errors import UserError
from snnbench.files import write_text
from snnbench.training import build, report
from snnbench.training.checkpoint import AtomicCheckpointIO, last_checkpoint, read_checkpoint, remove_leftovers
from snnbench.training.folder import is_main_process, locked, new_folder, open_folder, read_result
from snnbench.training.guard import NonFinite
from snnbench.training.history import History
from snnbench.training.module import SpikingClassifier
from snnbench.training.record import Record

FAILED, INTERRUPTED = 1, 130


def train(cfg: DictConfig) -> int:
    """Train as `cfg` says, or go on with the run that `cfg.resume` names.

    Returns:
        The exit code: 0 finished, 1 failed, 130 interrupted.

    Raises:
        UserError: the config, the data or the folder cannot be used; nothing was trained.
    """
    resumed = cfg.resume is not None
    checkpoint = None
    if resumed:
        folder, cfg, checkpoint = _resumable(cfg)
    config.check(cfg)
    build.check_device(cfg)
    _set_threads(cfg)
    data = build.build_data(cfg)
    module = build.build_module(cfg, build.build_network(cfg), data)
    if not resumed:
        folder = new_folder(cfg)
        cfg.paths.output_dir = str(folder)
        if is_main_process():
            write_text(folder / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    with locked(folder), log.to_file(folder / "train.log"):
        remove_leftovers(folder)
        history = History(folder)
        try:
            trainer = build.build_trainer(cfg, [history], [AtomicCheckpointIO()], last=[last_checkpoint(folder)])
        except UserError:
            if not resumed:
                shutil.rmtree(folder)
            raise
        return _fit(trainer, module, data, history, Record(folder, cfg, data), checkpoint)


def _resumable(cfg: DictConfig) -> tuple[Path, DictConfig, Path | None]:
    """The folder, the config and the last checkpoint (None before the first epoch's end) of `cfg.resume`."""
    others = [word for word in HydraConfig.get().overrides.task if not word.startswith("resume=")]
    if others:
        raise UserError(
            f"resume={cfg.resume}: takes everything from the run's own config; leave out {' '.join(others)}."
        )
    folder, old = open_folder(cfg.resume)
    if read_result(folder)["status"] == "finished":
        raise UserError(f"resume={cfg.resume}: this run is finished; its result is in {folder / 'result.json'}.")
    old.resume = cfg.resume
    last = folder / "checkpoints" / "last.ckpt"
    if not last.exists():
        return folder, old, None
    read_checkpoint(last)
    return folder, old, last


def _set_threads(cfg: DictConfig) -> None:
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)


def _fit(
    trainer: lightning.Trainer,
    module: SpikingClassifier,
    data: Any,
    history: History,
    record: Record,
    checkpoint: Path | None,
) -> int:
    folder = record.folder
    data.epoch_of = build.epoch_counter(trainer, data)
    record.start()
    logging.getLogger("snnbench").info("training in %s", report.short(folder))
    try:
        trainer.fit(module, datamodule=data, ckpt_path=str(checkpoint) if checkpoint else None, weights_only=True)
    except (KeyboardInterrupt, SystemExit):
        record.fail("interrupted", "interrupted by the user", history)
        report.interrupted(folder, checkpoint is not None or bool(history.metrics))
        return INTERRUPTED
    except (UserError, MisconfigurationException) as error:
        record.fail("failed", str(error), history)
        raise UserError(str(error)) from error
    except NonFinite as error:
        record.fail("failed", str(error), history)
        report.failed(folder, error)
        return FAILED
    except BaseException as error:
        record.fail("failed", f"{type(error).__name__}: {error}", history)
        raise
    finally:
        _close_loggers(trainer)
    result = record.finish(module, history)
    if trainer.is_global_zero:
        report.finished(folder, result)
    return 0


def _close_loggers(trainer: Any) -> None:
    """Without this, the next run of a sweep would be logged as a continuation of this one."""
    for logger in trainer.loggers:
        if type(logger).__name__ == "WandbLogger":
            import wandb

            wandb.finish()
