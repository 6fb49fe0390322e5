"""One training run, new or resumed, from its config to its result.json."""

from __future__ import annotations

import contextlib
import logging
import shutil
import signal
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from snnbench import commands, config, log, status, threads, weights
from snnbench.claims import Claim, claimed
from snnbench.errors import UserError
from snnbench.files import write_text
from snnbench.interrupt import FAILED, Interrupted
from snnbench.objective import Ended, value_of
from snnbench.processes import is_first
from snnbench.runs.data_paths import fix_data_paths
from snnbench.runs.folder import locked, new_folder
from snnbench.runs.result import read_result, threads_of
from snnbench.runs.schema import CHECKPOINTS, CONFIG, LOG, RESULT, Result
from snnbench.training import build, devices, distributed, loggers, longer, moved, preflight, rates, report
from snnbench.training.checkpoint import AtomicCheckpointIO, last_checkpoint, remove_leftovers
from snnbench.training.failure import Ending, ending_of, forget_notes, leave_note, note_of_another
from snnbench.training.find_lr import find_lr
from snnbench.training.history import History
from snnbench.training.module import SpikingClassifier
from snnbench.training.record import Record, check_data
from snnbench.training.resume import last_of, resumable, words


def train(cfg: DictConfig) -> Ended:
    """Train as `cfg` says, or go on with the run that `cfg.resume` names.

    A job of a sweep whose run is there already is skipped, or resumed where that run was stopped from outside; so it is
    in a SLURM job that was put back into the queue. What is resumed so is trained by `cfg`: of what lies among the runs
    nothing is executed but where the user names its folder.

    Returns:
        The exit code, 0 finished or 1 failed; and of a finished run, also one of before, what `cfg.optimize` asks for.

    Raises:
        UserError: the config, the data or the folder cannot be used; nothing was trained.
        Interrupted: by Ctrl-C or a signal; what the run had reached is recorded.
    """
    folder, old = resumable(cfg) if cfg.resume is not None else (None, cfg)
    if cfg.get("lr_find"):
        return Ended(find_lr(cfg, words()))
    if _checked(old) and status.of_this_job().get("action") not in ("done", "failed"):
        return _apart(old)
    with distributed.others_told():
        return _claimed_and_trained(cfg) if folder is None else _train(old, folder, Claim("resume"))


def _apart(cfg: DictConfig) -> Ended:
    code, folder = distributed.run_apart(), status.of_this_job().get("folder")
    return Ended(code, value_of(cfg.get("optimize"), Path(folder)) if code == 0 and folder else None)


def _claimed_and_trained(cfg: DictConfig) -> Ended:
    with _claimed(cfg) as claim:
        if claim.action not in ("start", "resume"):
            return _skip(cfg, claim)
        cfg.retry = None  # has had its effect, and is no part of the run
        if claim.folder is None:
            return _train(cfg, None, claim)
        if is_first():
            logging.getLogger("snnbench").info("going on in %s", report.short(claim.folder))
        cfg.paths.output_dir = commands.literal(str(claim.folder))
        return _train(cfg, claim.folder, claim)


def _checked(cfg: DictConfig) -> bool:
    """Refuse what needs no data to be refused; then, whether this is a job of a sweep that needs its own processes."""
    config.check(cfg)
    weights.identify(cfg)
    devices.check_device(cfg)
    apart = distributed.apart(cfg)
    if not apart:
        distributed.check(cfg)
    return apart


@contextlib.contextmanager
def _claimed(cfg: DictConfig) -> Iterator[Claim]:
    """The claim of the run's first process, in all of them."""
    with contextlib.ExitStack() as stack:
        mine: list[Claim] = []

        def decide() -> tuple[str, str, str]:
            mine.append(stack.enter_context(claimed(cfg)))
            return mine[0].action, str(mine[0].folder or ""), mine[0].by

        action, folder, by = distributed.from_first("claim", decide)
        yield mine[0] if mine else Claim(action, Path(folder) if folder else None, by)


def _train(cfg: DictConfig, folder: Path | None, claim: Claim) -> Ended:
    """Train in `folder`, from its last checkpoint on where it has one, or in a new one."""
    choice = _threads(cfg, folder)
    if cfg.resume is None:
        fix_data_paths(cfg, words())
    data = build.build_data(cfg)
    if folder is not None and (folder / RESULT).exists():
        check_data(f"resume={cfg.resume or folder}", cfg, read_result(folder), data)
    begun = folder is not None and (folder / CHECKPOINTS / "last.ckpt").exists()
    module = preflight.ready(cfg, data, begun)
    with _folder(cfg, folder, claim) as folder, locked(folder), log.to_file(folder / LOG):
        checkpoint = distributed.from_first("checkpoint", partial(last_of, folder))
        if is_first():
            if not choice.given:
                logging.getLogger("snnbench").info(choice.describe())
            remove_leftovers(folder)
            forget_notes(folder)
        more: list[lightning.Callback] = [rates.PerBatch()] if cfg.schedule.get("per_batch") else []
        if cfg.get("extended"):
            more.append(rates.NewRates())
            if is_first():
                longer.write(cfg, folder)
        if cfg.resume is not None and is_first():
            moved.write(cfg, folder)
        history = History(folder, loggers.official(cfg))
        plugins = [AtomicCheckpointIO(), *distributed.plugins()]
        trainer = build.build_trainer(cfg, [history, *more], plugins, last=[last_checkpoint(folder)], root=folder)
        with loggers.logged(trainer, cfg, folder):
            result = _fit(trainer, module, data, history, Record(folder, cfg, data, module), checkpoint)
        if result is None:
            return Ended(FAILED)
        if trainer.is_global_zero:
            report.finished(folder, result)
        return Ended(0, value_of(cfg.get("optimize"), folder))


def _threads(cfg: DictConfig, folder: Path | None) -> threads.Choice:
    """Set the number of threads: the same in all processes of the run, and in all its parts."""

    def decide() -> dict[str, Any]:
        before = threads_of(read_result(folder)) if folder is not None and (folder / RESULT).exists() else None
        return asdict(threads.for_run(cfg.threads, before, distributed.processes_here()))

    choice = threads.Choice(**distributed.from_first("threads", decide))
    build.set_threads(choice)
    return choice


def _skip(cfg: DictConfig, claim: Claim) -> Ended:
    """Leave this run; what that means for the exit code, and the value of one that is finished."""
    status.tell(skipped=True, elsewhere=claim.action == "running")
    if claim.folder:
        status.tell(folder=str(claim.folder.absolute()))
    report.skipped(claim)
    done = claim.action == "done" and claim.folder is not None
    value = value_of(cfg.get("optimize"), claim.folder) if done else None  # type: ignore[arg-type]
    return Ended(FAILED if claim.action == "failed" else 0, value)


@contextlib.contextmanager
def _folder(cfg: DictConfig, old: Path | None, claim: Claim) -> Iterator[Path]:
    """The folder of the run: `old`, or a new one, which goes again if the run ends before it has a result.

    It is told at once, so that what a kill leaves of it is found and begun again.
    """
    made = None
    try:
        if old is None:
            made = Path(distributed.from_first("folder", lambda: str(new_folder(cfg))))
            cfg.paths.output_dir = commands.literal(str(made))
        folder = old or made
        assert folder is not None
        if is_first():
            claim.tell(folder)
            status.tell(folder=str(folder))
        if is_first() and cfg.resume is None:
            write_text(folder / CONFIG, OmegaConf.to_yaml(cfg, resolve=True))
        yield folder
    finally:
        if made is not None and is_first() and not (made / RESULT).exists():
            shutil.rmtree(made, ignore_errors=True)


def _fit(
    trainer: lightning.Trainer,
    module: SpikingClassifier,
    data: Any,
    history: History,
    record: Record,
    checkpoint: str | None,
) -> Result | None:
    """Train and record how it ended; the result, or None where it has been told what stopped the run."""
    folder = record.folder
    data.epoch_of = build.epoch_counter(trainer, data)
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        record.start()
        if is_first():
            logging.getLogger("snnbench").info("training in %s", report.short(folder))
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        return record.finish(module, history)
    except BaseException as error:
        epochs = len(history.metrics)
        if not is_first():
            leave_note(folder, error, epochs)
            raise
        distributed.stay()
        ending = ending_of(error, epochs)
        record.fail(ending, module, history)
        note = note_of_another(folder, error, trainer.world_size > 1)
        if note is not None:
            ending = ending_of(error, epochs, note)
            record.fail(ending, module, history)
        _tell(ending, error, folder)
        return None
    finally:
        if signal.getsignal(signal.SIGINT) is not on_interrupt:  # Lightning leaves Ctrl-C ignored once it was pressed
            signal.signal(signal.SIGINT, on_interrupt)


def _tell(ending: Ending, error: BaseException, folder: Path) -> None:
    """Say how the run ended, if that is all that is left to do; else raise what says it."""
    kept = (folder / CHECKPOINTS / "last.ckpt").exists()
    if ending.status == "interrupted":
        report.interrupted(folder, kept, ending.text)
        raise Interrupted from error
    if ending.diverged:
        report.failed(folder, error)
        return
    logging.getLogger("traceback").error("the run failed", exc_info=error)
    if ending.cause == "machine" and (folder / RESULT).exists():
        report.interrupted(folder, kept, f"error: {ending.text}")
        return
    if isinstance(error, UserError | MisconfigurationException):  # of the machine's, too, where it could not begin
        if kept:
            report.failed(folder, error)
            return
        raise UserError(str(error)) from error
    error.add_note(f"traceback in {report.short(folder / LOG)}")
    raise error
