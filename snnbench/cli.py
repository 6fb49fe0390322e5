"""The command line: Hydra composes, errors become one line, exit codes tell what happened.

0 done; 1 a run failed, or was stopped by the machine; 2 the input is wrong and nothing was trained; 130 interrupted, by
Ctrl-C or a signal.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from snnbench import (
    commands,
    config,
    log,
    own,
    processes,
    slurm,
    status,
    sweep,
    sweepers,
    terminal,
    threads,
)
from snnbench.errors import UserError
from snnbench.explain import WRONG, explain, unexpected
from snnbench.guide.text import print_help
from snnbench.guide.words import FLAGS
from snnbench.interrupt import FAILED, INTERRUPTED, WRONG_INPUT, Interrupted, by_the_machine, sigterm_interrupts
from snnbench.objective import Ended, Value, names_of
from snnbench.overrides import CommandLine
from snnbench.planning import PLAN_ONLY, during

OURS = ("HYDRA_FULL_ERROR", status.FOLDER, PLAN_ONLY, processes.SHARED, threads.TOLD, threads.USERS)
"""Environment variables that a command sets for itself and for what it starts."""
Task = Callable[[DictConfig], int | Ended]
AGAIN = "Run the same command again: finished jobs are skipped; what failed by itself is repeated with retry=failed."


def main(task: Task, config_dir: Path, config_name: str) -> int:
    """Run `task` under Hydra for each job of the command line; the exit code is the worst of theirs.

    Args:
        task: takes a composed config, returns an exit code, with the value for a sweeper where it has one.
        config_dir: the folder of the config groups.
        config_name: the primary config, without `.yaml`.
    """
    if set(FLAGS) & set(sys.argv[1:]):
        config.register_schema()
        return print_help(sys.argv[1:], config_dir, config_name)
    if not _reads_command_lines():
        one, other = f"hydra-core {hydra.__version__}", f"Python {platform.python_version()}"
        print(f"error: {one} does not run in {other}. Use Python 3.11 to 3.13.", file=sys.stderr)
        return WRONG_INPUT
    plan_only = "--plan" in sys.argv[1:]
    if plan_only and not {"-m", "--multirun"} & set(sys.argv):
        print("error: --plan: goes with -m; it says what a sweep would do.", file=sys.stderr)
        return WRONG_INPUT
    outer = {key: os.environ.get(key) for key in OURS}
    ours = outer[status.FOLDER] or outer[processes.SHARED]  # then a parent of ours set the other one
    traceback_wanted = outer["HYDRA_FULL_ERROR"] == "1" and not ours
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise instead of printing and exiting with 1
    if plan_only:
        sys.argv = [word for word in sys.argv if word != "--plan"]
        os.environ[PLAN_ONLY] = "1"
    log.to_terminal()
    try:
        with sigterm_interrupts(), own.importable():
            return _run(task, config_dir, config_name, traceback_wanted)
    finally:
        during.close()
        for key, value in outer.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value


def _reads_command_lines() -> bool:
    """Whether Hydra can; argparse of Python 3.14 does not take the parser of hydra-core 1.3."""
    try:
        get_args_parser()
    except ValueError:
        return False
    return True


def _run(task: Task, config_dir: Path, config_name: str, traceback_wanted: bool) -> int:
    codes = [0]

    def job(cfg: DictConfig) -> Value:
        ended = _run_job(task, cfg, traceback_wanted)
        codes.append(ended.code)
        return ended.value

    job.__module__ = "__main__"
    decorate = hydra.main(version_base="1.3", config_path=str(config_dir.absolute()), config_name=config_name)
    code, message = 0, ""
    typed = CommandLine.read(sys.argv[1:], config_dir, config_name)
    sys.argv[1:] = typed.words
    try:
        typed.check()
        config.register_schema(typed.folders[1:])
        with sweep.composing_once():
            decorate(job)()
    except WRONG as error:
        if traceback_wanted:
            raise
        print(f"error: {explain(error, typed)}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt as error:
        code, message = INTERRUPTED, "" if isinstance(error, Interrupted) else "interrupted."
    except BrokenExecutor:
        code, message = FAILED, "error: a worker process was killed, and the sweep with it."
    except Exception as error:  # Hydra's own, or its launcher's; a job's is caught in the job
        if traceback_wanted or not (_sweeps() or isinstance(error, ValueError | TypeError | OSError)):
            raise
        if not _sweeps():
            print(f"error: {unexpected(error)}", file=sys.stderr)
            return WRONG_INPUT
        code, message = FAILED, f"error: the sweep was ended by its launcher: {unexpected(error)}."
    return _ended(max([code, *codes]), message)


def _sweeps() -> bool:
    """Whether this process began a sweep: not one that a job started for itself."""
    return status.FOLDER in os.environ and status.JOB not in os.environ


def _ended(code: int, message: str) -> int:
    """Say how the command ended; the exit code is the worst of its jobs'."""
    jobs = status.collect() if _sweeps() else []
    several = bool(jobs) and all("words" in job for job in jobs)
    if several:
        status.print_table(jobs)
        best = sweepers.best(jobs)
        if best:
            print(best)
    if code != INTERRUPTED:
        code = max([code, *map(status.code_of, jobs)])
    if message or (code and several):
        print(f"{message} {AGAIN if several else ''}".strip(), file=sys.stderr)
    if _sweeps():
        status.end()
    if code == INTERRUPTED and by_the_machine() and processes.is_first() and status.JOB not in os.environ:
        slurm.requeue()
    return code


def _run_job(task: Task, cfg: DictConfig, traceback_wanted: bool) -> Ended:
    """How one job ended. Its error is printed here and not raised, so that a sweep goes on to the next job."""
    terminal.protect()  # it may be in a worker process
    log.to_terminal()
    assert not os.environ.get(PLAN_ONLY), "a plan trains nothing"
    try:
        _check_mode(cfg)
        if status.place() and status.JOB not in os.environ:  # in the processes of a job, the first one has said it
            words = status.of_this_job().get("own") or HydraConfig.get().overrides.task
            logging.getLogger("snnbench").info("%s: %s", status.place(), " ".join(words))
        config.at_home(cfg)
        found = task(cfg)
        ended = found if isinstance(found, Ended) else Ended(found)
    except Exception as error:
        if traceback_wanted:
            raise
        wrong = isinstance(error, WRONG)
        print(f"error: {explain(error) if wrong else unexpected(error)}", file=sys.stderr)
        ended = Ended(WRONG_INPUT if wrong and not status.is_sweep() else FAILED)
    if status.JOB not in os.environ:  # else it is told by who started this process
        status.tell(code=ended.code, value=ended.value, optimize=names_of(cfg.get("optimize")))
    return ended


def _check_mode(cfg: DictConfig) -> None:
    if not status.is_sweep() and OmegaConf.select(cfg, "retry"):
        raise UserError(f"retry={cfg.retry}: is for the jobs of a sweep, -m; without it, a run is always begun anew.")
    chosen = HydraConfig.get().runtime.choices.get("sweep")
    if chosen and not status.is_sweep():
        again = commands.train("-m", *sys.argv[1:])
        raise UserError(f"+sweep={chosen}: is a sweep of many runs, which needs -m: {again}")
