"""A sweep that can be stopped and started again: each of its jobs is compared with the runs that are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from snnbench.config import CONFIGS
from snnbench.errors import UserError
from snnbench.runs.read import Ledger, Run, read_ledger
from snnbench.runs.recipe import recipe_hash


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        words: its overrides.
        config: its resolved config.
        run: the run of the same recipe, seed and epochs that is there already, or None.
    """

    words: tuple[str, ...]
    config: dict[str, Any]
    run: Run | None

    @property
    def action(self) -> str:
        """start, resume, done, running, or failed: such a run is not repeated, since it would fail again."""
        if self.run is None:
            return "start"
        return {"finished": "done", "interrupted": "resume", "killed": "resume"}.get(self.run.status, self.run.status)

    @property
    def arguments(self) -> list[str]:
        """What train.py is to be called with, where the action is start or resume."""
        return [f"resume={self.run.folder}"] if self.run else list(self.words)


def plan(words: Sequence[str], configs: Path = CONFIGS) -> list[Job]:
    """The jobs of `python train.py -m <words>`, every one composed and checked, with what is there of each.

    Raises:
        UserError: a word or a composed config is wrong.
    """
    import hydra
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from snnbench.config import register_schema
    from snnbench.explain import explain

    register_schema()
    parser = OverridesParser.create()
    try:
        with hydra.initialize_config_dir(str(configs.absolute()), version_base="1.3"):
            fixed = [word for word in words if not parser.parse_override(word).is_sweep_override()]
            base = hydra.compose("train", fixed, return_hydra_config=True)
            swept = [f"{key}={value}" for key, value in (base.hydra.sweeper.params or {}).items()]
            parsed = parser.parse_overrides([*swept, *words])
            jobs = [tuple(job) for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]
            composed = [_resolved(hydra.compose("train", list(job))) for job in jobs]
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error)) from error
    ledger = earlier_runs(Path(composed[0]["paths"]["outputs"]))
    return [Job(job, config, run_of(ledger, config)) for job, config in zip(jobs, composed, strict=True)]


def _resolved(cfg: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    from snnbench import config

    config.check(cfg)
    found = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def earlier_runs(outputs: Path) -> Ledger:
    return read_ledger([outputs]) if outputs.is_dir() else Ledger()


def run_of(ledger: Ledger, config: dict[str, Any]) -> Run | None:
    """The run that got furthest of those with this recipe, seed and number of epochs."""
    recipe, axes = recipe_hash(config), (config["seed"], config["epochs"])
    same = [run for run in ledger.runs if run.recipe == recipe and (run.seed, run.planned) == axes]
    return max(same, key=lambda run: (run.status == "finished", run.status != "failed", run.epochs), default=None)


def jobs_of(cfg: DictConfig) -> Iterator[list[str]]:
    """The override lists of all jobs, where the sweeper is Hydra's own and so the list is known beforehand."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if cfg.hydra.sweeper.get("_target_", "").endswith("BasicSweeper"):
        fixed = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.get("params") or {}).items()]
        parsed = OverridesParser.create().parse_overrides([*fixed, *cfg.hydra.overrides.task])
        for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None):
            yield from batch
