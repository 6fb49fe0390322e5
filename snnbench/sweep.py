"""A sweep that can be stopped and started again: each of its jobs is held against the runs that are there.

All jobs are planned once, before the first one starts, from the runs that are there then; so no job is ever answered
by another job of the same sweep.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from snnbench import status
from snnbench.runs.code import code_of
from snnbench.runs.read import Ledger, Run, read_ledger
from snnbench.runs.recipe import lookup, recipe_hash


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        words: its overrides.
        config: its resolved config.
        run: the run of the same recipe, data, seed and epochs that is there already, or None.
    """

    words: tuple[str, ...]
    config: Mapping[str, Any]
    run: Run | None

    @property
    def action(self) -> str:
        """start, resume, done, running, or failed.

        A run whose numbers diverged would do so again, and is left; one that failed otherwise is begun anew.
        """
        if self.run is None:
            return "start"
        if self.run.status == "failed":
            return "failed" if self.run.result.get("diverged") else "start"
        return {"finished": "done", "interrupted": "resume", "killed": "resume"}.get(self.run.status, self.run.status)


def overrides_of(cfg: DictConfig) -> Iterator[list[str]]:
    """The overrides of each job, where the sweeper is Hydra's own and so knows them beforehand.

    Args:
        cfg: the config of `-m`, with its `hydra` node.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if cfg.hydra.sweeper.get("_target_", "").endswith("BasicSweeper"):
        words: Any = OmegaConf.to_container(cfg.hydra.overrides.task, resolve=False)  # each job resolves its own
        fixed = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.get("params") or {}).items()]
        parsed = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides([*fixed, *words])
        for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None):
            yield from batch


def plan(jobs: Sequence[tuple[Sequence[str], DictConfig]]) -> list[Job]:
    """What is to be done of each job. A run answers one job at most.

    Args:
        jobs: the overrides and the composed, checked config of each.
    """
    ledgers: dict[str, list[Run]] = {}
    planned = []
    for words, cfg in jobs:
        config = resolved(cfg)
        outputs = str(config["paths"]["outputs"])
        if outputs not in ledgers:
            ledgers[outputs] = earlier_runs(Path(outputs)).runs
        run = None if config.get("resume") else run_of(ledgers[outputs], config)
        if run is not None:
            ledgers[outputs].remove(run)
        planned.append(Job(tuple(words), config, run))
    return planned


def describe(jobs: Sequence[Job]) -> str:
    """One line for each job: what is to be done, its overrides, the run that is there."""
    lines = [f"[{n}/{len(jobs)}] {job.action}: {shlex.join(job.words)}" for n, job in enumerate(jobs, start=1)]
    return "\n".join(
        f"{line}  {job.run.folder}" if job.run and job.action != "start" else line
        for line, job in zip(lines, jobs, strict=True)
    )


def tell(jobs: Sequence[Job]) -> None:
    """Let the jobs know what is to be done, in whichever process they run."""
    for number, job in enumerate(jobs):
        found = {"action": job.action, "run": job.run and str(job.run.folder.absolute())}
        status.tell(number, words=list(job.words), **found)


def this_job(cfg: DictConfig) -> tuple[str, Path | None]:
    """What is to be done of the job that this process is in, and the folder of the run that is there.

    As planned. Where another sweeper makes up its jobs as it goes, they are held against the runs that were there
    before the sweep began.
    """
    facts = status.of_this_job()
    if "action" in facts:
        return facts["action"], facts["run"] and Path(facts["run"])
    config = resolved(cfg)
    before = [run for run in earlier_runs(Path(cfg.paths.outputs)).runs if run.started < facts["began"]]
    job = Job((), config, run_of(before, config))
    return job.action, job.run.folder if job.run else None


def resolved(cfg: DictConfig) -> dict[str, Any]:
    found = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def earlier_runs(outputs: Path) -> Ledger:
    return read_ledger([outputs]) if outputs.is_dir() else Ledger()


def run_of(runs: Iterable[Run], config: Mapping[str, Any]) -> Run | None:
    """The run that got furthest of those with this recipe, data, seed and number of epochs."""
    recipe, axes = recipe_hash(config, code_of(config)), (config["seed"], config["epochs"])
    same = [run for run in runs if run.recipe == recipe and (run.seed, run.planned) == axes and _same_data(run, config)]
    return max(same, key=lambda run: (run.status == "finished", run.status != "failed", run.epochs), default=None)


def _same_data(run: Run, config: Mapping[str, Any]) -> bool:
    """Data that was found to be the published one is so in any folder; of other data, the folder tells."""
    if run.provenance == "real" and lookup(config, "data.verify") is not False:
        return True
    if lookup(config, "data.verify") is True and lookup(run.config, "data.verify") is False:
        return False
    ours, theirs = (os.path.realpath(str(lookup(one, "data.root"))) for one in (config, run.config))
    return ours == theirs
