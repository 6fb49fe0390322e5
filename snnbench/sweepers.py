"""Sweepers that choose a job by how earlier ones ended, such as Optuna's: what of it can be known beforehand."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from snnbench.errors import UserError
from snnbench.objective import OBJECTIVES, names_of
from snnbench.registry import class_of

SEARCHING = ("OptunaSweeper", "AxSweeper", "NevergradSweeper")
"""Those that need a value of each job."""
NO_FINDING = "lr_find=true: is for one config. Leave out -m."


def plans_itself(cfg: DictConfig) -> bool:
    """Whether the sweeper makes up its jobs as it goes; Hydra's own knows them all before the first one."""
    return not class_of(cfg.hydra.sweeper).endswith("BasicSweeper")


def check(cfg: DictConfig) -> None:
    """Refuse a search without an objective, and one to its worse side.

    Args:
        cfg: the config of `-m`, with its `hydra` node.

    Raises:
        UserError: names the key.
    """
    if cfg.get("lr_find"):
        raise UserError(NO_FINDING)
    names = names_of(cfg.get("optimize"))
    chosen = cfg.hydra.runtime.choices.get("hydra/sweeper")
    if not names and class_of(cfg.hydra.sweeper) in SEARCHING:
        raise UserError(
            f"hydra/sweeper={chosen}: has to be told what to optimise, such as optimize=best_validation with "
            "data.val_fraction=0.1."
        )
    direction = cfg.hydra.sweeper.get("direction")
    if not names or direction is None:
        return
    given = [direction] if not isinstance(direction, Sequence) or isinstance(direction, str) else list(direction)
    found = [str(getattr(one, "name", one)).lower() for one in given]
    wanted = [OBJECTIVES[name].better for name in names if name in OBJECTIVES]
    if len(wanted) == len(names) and found != wanted:
        text = wanted[0] if isinstance(cfg.optimize, str) else f"[{','.join(wanted)}]"
        raise UserError(
            f"hydra.sweeper.direction={','.join(found)}: is the worse side of optimize={','.join(names)}. "
            f"Set hydra.sweeper.direction={text}."
        )


def samples(cfg: DictConfig) -> Iterator[list[str]]:
    """Overrides of jobs that such a sweeper may make up: the first of every choice, then each other choice and bound.

    So what is wrong with any of them is found before the first job. Of a search space that is written in Python,
    nothing is known. Of Hydra's own sweeper there are none.
    """
    if not plans_itself(cfg):
        return
    options = [(override.get_key_element(), _values(override)) for override in _parsed(cfg)]
    first = [f"{key}={values[0]}" for key, values in options]
    yield first
    for place, (key, values) in enumerate(options):
        for value in values[1:]:
            yield [*first[:place], f"{key}={value}", *first[place + 1 :]]


def space(cfg: DictConfig) -> list[str]:
    """The words of the command, and of its configs, that let the sweeper choose."""
    return [str(override.input_line) for override in _parsed(cfg) if override.is_sweep_override()]


def _parsed(cfg: DictConfig) -> list[Any]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    words: Any = OmegaConf.to_container(cfg.hydra.overrides.task, resolve=False)
    params = cfg.hydra.sweeper.get("params") or {}
    return OverridesParser.create().parse_overrides([*(f"{key}={value}" for key, value in params.items()), *words])


def _values(override: Any) -> list[str]:
    """As texts: of a sweep each choice, of an interval or range its bounds."""
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    if override.is_interval_sweep():
        return [str(override.value().start), str(override.value().end)]
    from hydra.core.override_parser.types import Transformer

    found = [str(value) for value in override.sweep_iterator(transformer=Transformer.encode)]
    return [found[0], found[-1]] if override.is_range_sweep() else found


def best(jobs: Sequence[Mapping[str, Any]]) -> str:
    """One line that names the best job of a search; nothing where it has several aims, or none gave a value."""
    valued = [job for job in jobs if isinstance(job.get("value"), int | float)]
    if not valued:
        return ""
    (optimize,) = valued[0]["optimize"]
    sign = 1 if OBJECTIVES[optimize].better == "maximize" else -1
    found = max(valued, key=lambda job: sign * job["value"])
    common = set.intersection(*(set(job["words"]) for job in jobs)) if len(jobs) > 1 else set()
    return f"best by {optimize}, {found['value']:.5g}: {shlex.join(w for w in found['words'] if w not in common)}"
