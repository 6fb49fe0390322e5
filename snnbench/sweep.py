"""A sweep that can be stopped and started again, and shared: each of its jobs is held against the runs that are there.

All jobs are planned once, before the first one starts, from the runs that are there then; so no job is ever answered
by another job of the same sweep. A job is claimed before it starts (`snnbench.claims`): other sweeps may be at work.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from snnbench import status
from snnbench.runs.code import code_of
from snnbench.runs.fingerprint import Files, same_files
from snnbench.runs.provenance import took_others
from snnbench.runs.read import Ledger, Run, read_ledger
from snnbench.runs.recipe import lookup, recipe_hash

_composed: set[tuple[str, ...]] = set()  # overrides of the jobs of this command that were planned


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

        A run that was stopped from outside goes on from its last checkpoint: by a signal or a kill, a full disk, a lack
        of memory, a file system or another process that was gone. What failed by itself would do so again, and is
        left, but for `retry=failed`; so is one whose numbers diverged. Of runs of an older version that failed without
        a known cause a new one is begun.
        """
        if self.run is None:
            return "start"
        if self.run.status == "failed":
            cause = self.run.result.get("cause")
            if cause == "machine":
                return "resume"
            left = cause == "program" or self.run.result.get("diverged")
            return "failed" if left and self.config.get("retry") != "failed" else "start"
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


@contextlib.contextmanager
def composing_once() -> Iterator[None]:
    """In the block, Hydra does once what it would do for each job, or do again.

    It parses a config file once as long as that stays as it is. Its sweeper composes each job to see that it can be,
    and its launcher once more; of jobs that were planned, that is known.
    """
    from hydra._internal.sources_registry import SourcesRegistry
    from hydra.core.plugins import Plugins
    from hydra.plugins.sweeper import Sweeper

    Plugins.instance()  # finds the sources, and makes their classes anew
    source: Any = SourcesRegistry.instance().resolve("file")
    load, validate = source.load_config, Sweeper.validate_batch_is_legal
    parsed: dict[Any, Any] = {}

    def load_config(self: Any, config_path: str) -> Any:
        path = os.path.join(self.path, self._normalize_file_name(config_path))
        try:
            found = os.stat(path)
        except OSError:
            return load(self, config_path)  # says what is wrong
        key = (self.provider, self.path, config_path, found.st_mtime_ns, found.st_size, found.st_ino)
        if key not in parsed:
            parsed[key] = load(self, config_path)
        return copy.deepcopy(parsed[key])

    def validate_batch_is_legal(self: Any, batch: Sequence[Sequence[str]]) -> None:
        validate(self, [words for words in batch if tuple(words) not in _composed])

    _composed.clear()
    hydras: list[tuple[Any, str, Any, Any]] = [
        (source, "load_config", load_config, load),
        (Sweeper, "validate_batch_is_legal", validate_batch_is_legal, validate),
    ]
    try:
        for owner, name, ours, _ in hydras:
            setattr(owner, name, ours)
        yield
    finally:
        for owner, name, _, theirs in hydras:
            setattr(owner, name, theirs)


def plan(jobs: Sequence[tuple[Sequence[str], DictConfig]]) -> list[Job]:
    """What is to be done of each job. A run answers one job at most.

    Args:
        jobs: the overrides and the composed, checked config of each.
    """
    ledgers: dict[str, list[Run]] = {}
    files: dict[str, Files | None] = {}
    planned = []
    for words, cfg in jobs:
        config = resolved(cfg)
        outputs = str(config["paths"]["outputs"])
        if outputs not in ledgers:
            ledgers[outputs] = earlier_runs(Path(outputs)).runs
        run = None if config.get("resume") else run_of(ledgers[outputs], config, files)
        if run is not None:
            ledgers[outputs].remove(run)
        planned.append(Job(tuple(words), config, run))
        _composed.add(tuple(words))
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
    keys = ["" if job.config.get("resume") else key_of(job.config) for job in jobs]
    folders = [str(job.run.folder.absolute()) if job.run else None for job in jobs]
    common = status.in_all([job.words for job in jobs])
    for number, job in enumerate(jobs):
        others = [folder for key, folder in zip(keys, folders, strict=True) if key == keys[number] and folder]
        others = [folder for folder in others if folder != folders[number]]
        facts = {"action": job.action, "run": folders[number], "slot": keys[:number].count(keys[number])}
        own = [word for word in job.words if word not in common]
        status.tell(number, words=list(job.words), own=own, count=len(jobs), others=others, **facts)


def resolved(cfg: DictConfig) -> dict[str, Any]:
    found = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def earlier_runs(outputs: Path) -> Ledger:
    return read_ledger([outputs]) if outputs.is_dir() else Ledger()


def run_of(runs: Iterable[Run], config: Mapping[str, Any], files: dict[str, Files | None] | None = None) -> Run | None:
    """The run that got furthest of those with this recipe, data, seed and number of epochs.

    One that is to go on, or to be begun anew, began with the very weights that `config` has, also where these count by
    the recipe of their run. `files` holds what was found of the data of other jobs a moment ago; see `data.here`.
    """
    recipe, axes = recipe_hash(config, code_of(config)), (config["seed"], config["epochs"])
    same = [run for run in runs if run.recipe == recipe and (run.seed, run.planned) == axes]
    same = [run for run in same if run.status == "finished" or _digest(run.config) == _digest(config)]
    same = [run for run in same if _same_data(run, config, {} if files is None else files)]
    return max(same, key=lambda run: (run.status == "finished", run.status != "failed", run.epochs), default=None)


def _digest(config: Mapping[str, Any]) -> Any:
    return lookup(config, "weights.digest")


def key_of(config: Mapping[str, Any]) -> str:
    """Equal for jobs that ask for the same run, from the same folder of data."""
    root = os.path.realpath(str(lookup(config, "data.root")))
    text = json.dumps([recipe_hash(config, code_of(config)), root, config["seed"], config["epochs"]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _same_data(run: Run, config: Mapping[str, Any], files: dict[str, Files | None]) -> bool:
    """By what the run's files were, and what is there now.

    Where one of them is not known: data that was found to be the published one is so in any folder; of other data, the
    folder tells.
    """
    from snnbench.data.here import files_here

    if lookup(config, "data.verify") is not False and lookup(run.config, "data.verify") is False:
        return False  # the job may prove what the run did not
    known = (run.fingerprint or {}).get("files")
    here = files_here(config, files) if known else None
    if known and here:
        return same_files(known, here)
    if run.fingerprint is None and took_others(config):
        return False
    if run.provenance == "real" and lookup(config, "data.verify") is not False:
        return True
    ours, theirs = (os.path.realpath(str(lookup(one, "data.root"))) for one in (config, run.config))
    return ours == theirs
