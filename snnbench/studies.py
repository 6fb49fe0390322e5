"""Studies of Optuna that outlive a command: the same command again goes on with the same study.

Hydra's sweeper begins another one, or adds as many trials again, and leaves a trial that was cut off as running.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, open_dict

from snnbench import sweepers
from snnbench.holds import Held, hold
from snnbench.objective import OBJECTIVES, names_of
from snnbench.registry import class_of
from snnbench.runs.schema import SWEEPS
from snnbench.sweep import key_of

LOG = logging.getLogger("snnbench")


@contextlib.contextmanager
def continued(cfg: DictConfig, first: Mapping[str, Any]) -> Iterator[None]:
    """Before a sweep with a storage and no name for its study: give it one, and let it do what is left of n_trials.

    A trial that a killed command left is tried again, whose run goes on from its last checkpoint; unless the study is
    another process's at the moment, while the block lasts.

    Args:
        cfg: the config of `-m`, with its `hydra` node, in which the study is set.
        first: the resolved config of one of its jobs.
    """
    options = cfg.hydra.sweeper
    if class_of(cfg.hydra.sweeper) != "OptunaSweeper" or not options.get("storage") or options.get("study_name"):
        yield
        return
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name = _name(cfg, first)
    directions = [OBJECTIVES[one].better for one in names_of(cfg.optimize)]
    study = optuna.create_study(study_name=name, storage=options.storage, directions=directions, load_if_exists=True)
    with contextlib.ExitStack() as stack:
        place = Path(cfg.paths.outputs).absolute() / SWEEPS / "studies" / name
        place.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(Held):
            stack.enter_context(hold(place / "claim"))
            _try_again(study)
        done = len(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))
        left = max(options.n_trials - done, 0)
        if done:
            more = "" if left else f" More of them: hydra.sweeper.n_trials={options.n_trials + 20}."
            LOG.info("study %s: %d of %d trials are there%s.%s", name, done, options.n_trials, _best(study), more)
        with open_dict(cfg):
            options.study_name, options.n_trials = name, left
            if options.sampler.get("seed") is not None:  # else it would begin with the same trials again
                options.sampler.seed += len(study.get_trials(deepcopy=False))
        yield


def _name(cfg: DictConfig, first: Mapping[str, Any]) -> str:
    """Equal for commands that search the same space for the same aim."""
    text = json.dumps([key_of(first), sorted(sweepers.space(cfg)), names_of(cfg.optimize)])
    return f"{first['name']}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _try_again(study: Any) -> None:
    from optuna.trial import TrialState

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Optuna 2, that this may change in the next version
        for trial in study.get_trials(states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)


def _best(study: Any) -> str:
    if len(study.directions) > 1:
        return ""
    chosen = " ".join(f"{key}={value}" for key, value in study.best_params.items())
    return f", the best {study.best_value:.5g} by {chosen}"
