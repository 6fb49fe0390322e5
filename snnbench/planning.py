"""A sweep, checked and planned as a whole before its first job runs."""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write

from snnbench import config, launchers, processes, status, sweep, sweepers, threads, weights
from snnbench.errors import UserError
from snnbench.explain import WRONG, explain, unexpected
from snnbench.interrupt import WRONG_INPUT
from snnbench.overrides import CommandLine
from snnbench.studies import continued

PLAN_ONLY = "SNNBENCH_PLAN_ONLY"
during = contextlib.ExitStack()
"""What is open while a sweep goes on."""


class PlanSweep(Callback):
    """Composes, checks and builds every job of a sweep, but for its data, and plans them, before the first one runs."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Ends the command where a job is wrong: of an Exception, Hydra would only warn, and run the jobs."""
        words: list[str] = []
        try:
            _check_alone()
            sweepers.check(config)
            jobs, built = [], set[str]()
            for words in itertools.chain(sweepers.samples(config), sweep.overrides_of(config)):
                jobs.append((words, _composed(config, words, built)))
            searches = sweepers.plans_itself(config)  # then these are samples of its jobs
            _check_folders([cfg for _, cfg in jobs])
            planned = sweep.plan([] if searches else jobs)
        except Exception as error:
            typed = CommandLine(config.hydra.job.config_name, _folders(config), overrides=tuple(words), multirun=True)
            text = explain(error, typed) if isinstance(error, WRONG) else unexpected(error)
            which = f"job {shlex.join(words)}; " if words else ""
            print(f"error: {text} ({which}no job was started)", file=sys.stderr)
            raise SystemExit(WRONG_INPUT) from error
        lacking = [] if launchers.elsewhere(config.hydra.launcher) else _lacking(jobs, planned)
        if os.environ.get(PLAN_ONLY):
            for one in lacking:
                print(f"not here yet: {one}", file=sys.stderr)
            print(sweep.describe(planned))
            raise SystemExit(0)
        if lacking:
            print("error: " + "\n".join([*lacking, "(no job was started)"]), file=sys.stderr)
            raise SystemExit(WRONG_INPUT)
        _begin(config, planned)
        if searches:
            during.enter_context(continued(config, sweep.resolved(jobs[0][1])))


def _folders(config: DictConfig) -> tuple[Path, ...]:
    """Where the configs of this command lie."""
    sources = config.hydra.runtime.config_sources
    return tuple(Path(source.path) for source in sources if source.schema == "file")


def _check_alone() -> None:
    """A sweep is planned once: of several processes each would train another job, and wait for the others there."""
    found = processes.launch()
    if found is not None and not found.perhaps_alone:
        raise UserError(
            f"-m: was started as {found.size} processes by {found.by}, but one process plans a sweep. Start it without "
            f"{found.by}: jobs with trainer.devices=N start their own processes. For jobs on several machines, start "
            f"each one with {found.by} and without -m."
        )


def _begin(config: DictConfig, planned: list[sweep.Job]) -> None:
    """Tell the jobs what is to be done, also those that a launcher starts elsewhere, in an environment of its own."""
    try:
        folder = status.begin(Path(config.paths.outputs))
    except OSError as error:
        print(f"error: paths.outputs={config.paths.outputs}: cannot be written to: {error}", file=sys.stderr)
        raise SystemExit(WRONG_INPUT) from error
    quoted = str(folder).replace("'", "\\'")
    with read_write(config.hydra.overrides):
        config.hydra.overrides.hydra.append(f"+hydra.job.env_set.{status.FOLDER}='{quoted}'")
    sweep.tell(planned)
    todo = sum(job.action in ("start", "resume") for job in planned)
    together = launchers.at_once(config.hydra.launcher, todo)
    threads.tell(threads.choose().shared(together, "jobs"))  # once, so that jobs do not see each other as strangers


def _lacking(jobs: list[tuple[list[str], DictConfig]], planned: list[sweep.Job]) -> list[str]:
    """What is said of each data set that a job will want and that is not there; it is fetched, but for a plan."""
    from snnbench.training import preflight

    begun = {shlex.join(job.words) for job in planned if job.action in ("start", "resume")}
    found: dict[str, str] = {}
    for words, cfg in jobs:
        key = "" if cfg.get("resume") or shlex.join(words) not in begun else str(OmegaConf.to_container(cfg.data))
        if key and key not in found:
            found[key] = ""
            try:
                preflight.check_files(cfg, fetch=not os.environ.get(PLAN_ONLY))
            except UserError as error:
                found[key] = str(error)
    return [text for text in found.values() if text]


def _check_folders(jobs: list[DictConfig]) -> None:
    given = [str(cfg.paths.output_dir) for cfg in jobs if not cfg.get("resume") and cfg.paths.output_dir]
    twice = next((folder for folder in given if given.count(folder) > 1), None)
    if twice:
        raise UserError(f"paths.output_dir={twice}: each job of a sweep needs a folder of its own. Leave it out.")


def _composed(cfg: DictConfig, overrides: list[str], built: set[str]) -> DictConfig:
    composed = hydra.compose(cfg.hydra.job.config_name, overrides)
    config.at_home(composed)
    if composed.get("resume"):
        return composed
    config.check(composed)
    weights.identify(composed)
    OmegaConf.to_container(composed, resolve=True)  # which may fail
    parts = OmegaConf.to_container(composed)  # as they are written: the seed stands in several, and decides no shape
    assert isinstance(parts, dict)
    text = str({key: value for key, value in parts.items() if key != "seed"})
    if text not in built:
        from snnbench.training import preflight

        preflight.check_parts(composed, here=not launchers.elsewhere(cfg.hydra.launcher))
        built.add(text)
    return composed
