"""The command line: Hydra composes, errors become one line, exit codes tell what happened.

0 done; 1 a run failed; 2 the input is wrong and nothing was trained; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException, MissingConfigException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from snnbench import config, log
from snnbench.errors import UserError, did_you_mean

STATUS_FILE = "SNNBENCH_STATUS_FILE"


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
        return _run(task, config_dir, config_name, traceback_wanted)
    finally:
        for key, value in outer.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value


def _run(task: Callable[[DictConfig], int], config_dir: Path, config_name: str, traceback_wanted: bool) -> int:
    with tempfile.NamedTemporaryFile(mode="r", prefix="snnbench-status-") as status:
        os.environ[STATUS_FILE] = status.name  # inherited by the workers of a parallel launcher

        def job(cfg: DictConfig) -> None:
            code = _guarded(task, cfg, traceback_wanted)
            with open(os.environ[STATUS_FILE], "a") as file:
                file.write(f"{code}\n")

        job.__module__ = "__main__"
        decorate = hydra.main(version_base="1.3", config_path=str(config_dir.absolute()), config_name=config_name)
        try:
            decorate(job)()
        except (HydraException, OmegaConfBaseException, UserError) as error:
            if traceback_wanted:
                raise
            print(f"error: {explain(error, _known_keys(config_dir, config_name))}", file=sys.stderr)
            return 2
        return max([int(line) for line in status.read().split()], default=0)


def _guarded(task: Callable[[DictConfig], int], cfg: DictConfig, traceback_wanted: bool) -> int:
    """One job. Its error is printed here and not raised, so that a sweep goes on to the next job."""
    try:
        return task(cfg)
    except (HydraException, OmegaConfBaseException, UserError) as error:
        if traceback_wanted:
            raise
        print(f"error: {explain(error)}", file=sys.stderr)
        return 2


class CheckSweep(Callback):
    """Composes and checks every job of a sweep before the first one runs."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            for overrides in _jobs(config):
                try:
                    _check_job(config, overrides)
                except (HydraException, OmegaConfBaseException, UserError) as error:
                    raise UserError(f"{explain(error)} (job {' '.join(overrides)}; no job was started)") from error
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from error


def _jobs(cfg: DictConfig) -> Iterator[list[str]]:
    """The override lists of all jobs, where the sweeper is Hydra's own and so the list is known beforehand."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if cfg.hydra.sweeper.get("_target_", "").endswith("BasicSweeper"):
        fixed = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.get("params") or {}).items()]
        parsed = OverridesParser.create().parse_overrides([*fixed, *cfg.hydra.overrides.task])
        for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None):
            yield from batch


def _check_job(cfg: DictConfig, overrides: list[str]) -> None:
    composed = hydra.compose(cfg.hydra.job.config_name, overrides)
    if not composed.get("resume"):
        config.check(composed)


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
