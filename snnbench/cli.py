"""The command line: Hydra composes, errors become one line, exit codes tell what happened.

0 done; 1 a run failed; 2 the input is wrong and nothing was trained; 130 interrupted, by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException, MissingConfigException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from snnbench import config, log, status
from snnbench.errors import UserError, did_you_mean
from snnbench.interrupt import sigterm_interrupts
from snnbench.status import STATUS_FILE

FAILED, WRONG_INPUT, INTERRUPTED = 1, 2, 130
WRONG = (HydraException, OmegaConfBaseException, UserError)
AGAIN = "Run the same command again: finished jobs are skipped."


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, of which the user has been told already."""


def main(task: Callable[[DictConfig], int], config_dir: Path, config_name: str) -> int:
    """Run `task` under Hydra for each job of the command line; the exit code is the worst of theirs.

    Args:
        task: takes a composed config, returns an exit code.
        config_dir: the folder of the config groups.
        config_name: the primary config, without `.yaml`.
    """
    config.register_schema()
    outer = {key: os.environ.get(key) for key in ("HYDRA_FULL_ERROR", STATUS_FILE)}
    traceback_wanted = outer["HYDRA_FULL_ERROR"] == "1" and outer[STATUS_FILE] is None  # not what a parent of ours set
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise instead of printing and exiting with 1
    log.to_terminal()
    try:
        with sigterm_interrupts():
            return _run(task, config_dir, config_name, traceback_wanted)
    finally:
        for key, value in outer.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value


def _run(task: Callable[[DictConfig], int], config_dir: Path, config_name: str, traceback_wanted: bool) -> int:
    with tempfile.NamedTemporaryFile(mode="r", prefix="snnbench-status-") as file:
        os.environ[STATUS_FILE] = file.name  # inherited by the workers of a parallel launcher

        def job(cfg: DictConfig) -> None:
            _run_job(task, cfg, traceback_wanted)

        job.__module__ = "__main__"
        decorate = hydra.main(version_base="1.3", config_path=str(config_dir.absolute()), config_name=config_name)
        code, message = 0, ""
        try:
            decorate(job)()
        except WRONG as error:
            if traceback_wanted:
                raise
            print(f"error: {explain(error, _known_keys(config_dir, config_name))}", file=sys.stderr)
            return WRONG_INPUT
        except KeyboardInterrupt as error:
            code, message = INTERRUPTED, "" if isinstance(error, Interrupted) else "interrupted."
        except BrokenExecutor:
            code, message = FAILED, "error: a worker process was killed, and the sweep with it."
        jobs = status.collect(file)
        sweep = bool(jobs) and all("words" in job for job in jobs)
        if sweep:
            status.print_table(jobs)
        if message or (code and sweep):
            print(f"{message} {AGAIN if sweep else ''}".strip(), file=sys.stderr)
        return max([code, *(job.get("code", 0) for job in jobs)])


def _run_job(task: Callable[[DictConfig], int], cfg: DictConfig, traceback_wanted: bool) -> None:
    """One job. Its error is printed here and not raised, so that a sweep goes on to the next job."""
    log.to_terminal()
    try:
        code = task(cfg)
    except Exception as error:
        if traceback_wanted:
            raise
        wrong = isinstance(error, WRONG)
        print(f"error: {explain(error) if wrong else _unexpected(error)}", file=sys.stderr)
        code = WRONG_INPUT if wrong and not status.is_sweep() else FAILED
    status.tell(code=code)


def _unexpected(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    where = getattr(error, "__notes__", None) or ["HYDRA_FULL_ERROR=1 shows the traceback"]
    return f"{text} ({where[-1]})"


class CheckSweep(Callback):
    """Composes, checks and builds every job of a sweep, but for its data, before the first one runs."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        built: set[str] = set()
        jobs = []
        for overrides in _jobs(config):
            try:
                _check_job(config, overrides, built)
            except Exception as error:
                text = explain(error) if isinstance(error, WRONG) else _unexpected(error)
                print(f"error: {text} (job {' '.join(overrides)}; no job was started)", file=sys.stderr)
                raise SystemExit(WRONG_INPUT) from error
            jobs.append(overrides)
        for number, overrides in enumerate(jobs):
            status.tell(number, words=overrides)


def _jobs(cfg: DictConfig) -> Iterator[list[str]]:
    """The override lists of all jobs, where the sweeper is Hydra's own and so the list is known beforehand."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if cfg.hydra.sweeper.get("_target_", "").endswith("BasicSweeper"):
        fixed = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.get("params") or {}).items()]
        parsed = OverridesParser.create().parse_overrides([*fixed, *cfg.hydra.overrides.task])
        for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None):
            yield from batch


def _check_job(cfg: DictConfig, overrides: list[str], built: set[str]) -> None:
    composed = hydra.compose(cfg.hydra.job.config_name, overrides)
    if composed.get("resume"):
        return
    config.check(composed)
    parts = {key: value for key, value in OmegaConf.to_container(composed, resolve=True).items() if key != "seed"}  # type: ignore[union-attr]
    if str(parts) not in built:
        _build(composed)
        built.add(str(parts))


def _build(cfg: DictConfig) -> None:
    """Everything that can be built without data; constructors check more than a look at the config can."""
    from snnbench.training import build

    build.check_device(cfg)
    network = build.build_network(cfg)
    build.make(cfg, "loss")
    build.make(cfg, "schedule")(build.build_optimizer(cfg)(network))


def explain(error: Exception, known_keys: Iterable[str] = ()) -> str:
    """The error in one or two lines, with the nearest name where a name was misspelt."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        options = [str(option) for option in error.options or []]
        known = f" Known: {', '.join(options)}." if options else ""
        return f"{group or 'config'}={choice}: there is no such config.{did_you_mean(choice, options)}{known}"
    if str(error).startswith("Error merging override") and error.__cause__:
        error = error.__cause__  # type: ignore[assignment]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(line for line in lines if not line.startswith(("full_key:", "object_type=", "reference_type=")))
    key = getattr(error, "full_key", None)
    if key and key not in text:
        text = f"{key}: {text}"
    if "Could not override" in text:
        name = text.split("'")[1]
        text = f"{name}: there is no such key.{_nearest_key(name, list(known_keys))} To add a new one: +{name}=..."
    return text


def _nearest_key(name: str, keys: list[str]) -> str:
    """A full match of the last part wins (`lr` means `optimizer.lr`), then the nearest spelling of the whole."""
    same = [key for key in keys if key.rpartition(".")[2] == name]
    return f" Did you mean {same[0]!r}?" if same else did_you_mean(name, keys)


def _known_keys(config_dir: Path, config_name: str) -> Iterator[str]:
    """Every dotted key of the config as it composes without overrides."""
    keys: list[str] = []

    def walk(prefix: str, node: Any) -> None:
        for key, value in node.items_ex(resolve=False) if isinstance(node, DictConfig) else []:
            keys.append(prefix + str(key))
            walk(f"{prefix}{key!s}.", value)

    with hydra.initialize_config_dir(str(config_dir.absolute()), version_base="1.3"):
        walk("", hydra.compose(config_name))
    yield from keys
