"""One training run, new or resumed, from its config to its result.json."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from snnbench import commands, config, log, status, sweep
from snnbench.errors import UserError
from snnbench.files import write_text
from snnbench.interrupt import FAILED, Interrupted, was_interrupted
from snnbench.runs.code import changes, code_of
from snnbench.runs.folder import is_main_process, locked, new_folder, open_folder
from snnbench.runs.result import read_result
from snnbench.runs.schema import CHECKPOINTS, CONFIG, LOG, RESULT, Result
from snnbench.training import build, loggers, preflight, report
from snnbench.training.checkpoint import AtomicCheckpointIO, last_checkpoint, read_checkpoint, remove_leftovers
from snnbench.training.guard import NonFinite
from snnbench.training.history import History
from snnbench.training.module import SpikingClassifier
from snnbench.training.record import Record


def train(cfg: DictConfig) -> int:
    """Train as `cfg` says, or go on with the run that `cfg.resume` names.

    A job of a sweep whose run is there already is skipped, or resumed where that run was interrupted or killed.

    Returns:
        The exit code: 0 finished, 1 failed.

    Raises:
        UserError: the config, the data or the folder cannot be used; nothing was trained.
        Interrupted: by Ctrl-C or SIGTERM; what the run had reached is recorded.
    """
    folder = checkpoint = None
    if cfg.resume is not None:
        folder, cfg, checkpoint = _resumable(cfg)
    elif status.is_sweep():
        config.check(cfg)
        action, earlier = sweep.this_job(cfg)
        if earlier and action == "resume":
            folder, cfg, checkpoint = _reopen(str(earlier))
            logging.getLogger("snnbench").info("going on in %s", report.short(folder))
        elif earlier and action != "start":
            return _skip(action, earlier)
    config.check(cfg)
    build.check_device(cfg)
    _set_threads(cfg)
    data = build.build_data(cfg)
    preflight.check_lengths(cfg, data)
    module = build.build_module(cfg, build.build_network(cfg), data)
    preflight.check_trainer(cfg, data.eval_names)
    with _folder(cfg, folder) as folder, locked(folder), log.to_file(folder / LOG):
        status.tell(folder=str(folder))
        remove_leftovers(folder)
        history = History(folder, loggers.official(cfg))
        trainer = build.build_trainer(cfg, [history], [AtomicCheckpointIO()], last=[last_checkpoint(folder)])
        with loggers.logged(trainer, cfg, folder):
            result = _fit(trainer, module, data, history, Record(folder, cfg, data, module), checkpoint)
        if result is None:
            return FAILED
        if trainer.is_global_zero:
            report.finished(folder, result)
        return 0


def _skip(action: str, folder: Path) -> int:
    """Say why this job of a sweep is left, and what that means for the exit code."""
    status.tell(folder=str(folder.absolute()), skipped=True)
    state = {"done": "finished already", "running": "running in another process"}
    reason = state.get(action, "its numbers diverged, and would do so again")
    logging.getLogger("snnbench").info("skipped, %s: %s", reason, report.short(folder))
    return FAILED if action == "failed" else 0


def _resumable(cfg: DictConfig) -> tuple[Path, DictConfig, Path | None]:
    """The folder, the config and the last checkpoint (None before the first epoch's end) of `cfg.resume`."""
    others = [word for word in HydraConfig.get().overrides.task if not word.startswith("resume=")]
    if others:
        raise UserError(
            f"resume={cfg.resume}: takes everything from the run's own config; leave out {shlex.join(others)}."
        )
    return _reopen(cfg.resume)


def _reopen(path: str) -> tuple[Path, DictConfig, Path | None]:
    folder, old = open_folder(path)
    result = read_result(folder)
    if result["status"] == "finished":
        raise UserError(f"resume={path}: this run is finished; its result is in {folder / RESULT}.")
    edited = changes(result.get("code") or {}, code_of(OmegaConf.to_container(old, resolve=True)))  # type: ignore[arg-type]
    if edited:
        raise UserError(
            f"resume={path}: the code of {', '.join(edited)} is not what this run began with, and its numbers would be "
            "of neither. Bring that code back, or begin a new run."
        )
    old.resume = commands.literal(path)
    last = folder / CHECKPOINTS / "last.ckpt"
    if not last.exists():
        return folder, old, None
    read_checkpoint(last)
    return folder, old, last


@contextlib.contextmanager
def _folder(cfg: DictConfig, old: Path | None) -> Iterator[Path]:
    """The folder of the run: `old`, or a new one, which goes again if the run ends before it has a result."""
    if old is not None:
        yield old
        return
    folder = new_folder(cfg)
    try:
        cfg.paths.output_dir = commands.literal(str(folder))
        if is_main_process():
            write_text(folder / CONFIG, OmegaConf.to_yaml(cfg, resolve=True))
        yield folder
    finally:
        if is_main_process() and not (folder / RESULT).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _set_threads(cfg: DictConfig) -> None:
    """As the config says; else the jobs of a parallel sweep share the cores evenly."""
    count = cfg.threads
    if count is None and status.is_sweep():
        parallel = HydraConfig.get().launcher.get("n_jobs")
        if parallel:
            cores = len(os.sched_getaffinity(0))
            count = max(1, cores // (parallel if parallel > 0 else max(1, cores + 1 + parallel)))
            os.environ["OMP_NUM_THREADS"] = str(count)
    if count is not None:
        torch.set_num_threads(count)


def _fit(
    trainer: lightning.Trainer,
    module: SpikingClassifier,
    data: Any,
    history: History,
    record: Record,
    checkpoint: Path | None,
) -> Result | None:
    """Train and record how it ended; the result, or None where it has been told that the numbers exploded."""
    folder = record.folder
    data.epoch_of = build.epoch_counter(trainer, data)
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        record.start()
        logging.getLogger("snnbench").info("training in %s", report.short(folder))
        trainer.fit(module, datamodule=data, ckpt_path=str(checkpoint) if checkpoint else None, weights_only=True)
        return record.finish(module, history)
    except (UserError, MisconfigurationException) as error:
        record.fail("failed", str(error), module, history)
        raise UserError(str(error)) from error
    except NonFinite as error:
        record.fail("failed", str(error), module, history, diverged=True)
        report.failed(folder, error)
        return None
    except BaseException as error:
        if was_interrupted(error):
            record.fail("interrupted", "interrupted by Ctrl-C or SIGTERM", module, history)
            report.interrupted(folder, (folder / CHECKPOINTS / "last.ckpt").exists())
            raise Interrupted from error
        logging.getLogger("traceback").error("the run failed", exc_info=True)
        record.fail("failed", f"{type(error).__name__}: {error}", module, history)
        error.add_note(f"traceback in {report.short(folder / LOG)}")
        raise
    finally:
        if signal.getsignal(signal.SIGINT) is not on_interrupt:  # Lightning leaves Ctrl-C ignored once it was pressed
            signal.signal(signal.SIGINT, on_interrupt)
