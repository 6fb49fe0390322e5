"""Where the configs lie, the root schema of a training config, and the checks that need no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf

from snnbench.errors import UserError
from snnbench.runs.recipe import REPEATS, lookup, normal

CONFIGS = Path(__file__).parents[1] / "configs"
GROUPS = ("data", "neuron", "backbone", "norm", "augment", "loss", "optimizer", "schedule", "trainer", "paths")
OURS = (
    *("callbacks", "plugins", "logger", "use_distributed_sampler", "num_sanity_val_steps"),
    *("enable_progress_bar", "enable_model_summary"),
)
STOP_EARLIER = "Use epochs=..., or trainer.limit_train_batches for shorter epochs."
_ABSENT = object()


@dataclass
class TrainConfig:
    """Types of the top-level keys; groups are free-form, since users bring their own classes."""

    T: int = MISSING
    seed: int = MISSING
    epochs: int = MISSING
    batch_size: int = MISSING
    engine: str = MISSING
    compile: bool = MISSING
    eval_precision: str | None = None
    threads: int | None = MISSING
    name: str = MISSING
    tags: list[str] = field(default_factory=list)
    resume: str | None = None
    row: Any = None
    paths: Any = MISSING
    data: Any = MISSING
    neuron: Any = MISSING
    backbone: Any = MISSING
    norm: Any = MISSING
    augment: Any = MISSING
    loss: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING
    trainer: Any = MISSING
    callbacks: Any = MISSING
    logger: Any = MISSING


@dataclass
class EvalPaths:
    """Where eval.py looks for the data; null leaves it to the run."""

    data: str | None = None


@dataclass
class EvalConfig:
    """Types of the keys of eval.py."""

    run: str = MISSING
    ckpt: str = MISSING
    engine: str | None = None
    accelerator: str | None = None
    energy: Any = False
    paths: EvalPaths = field(default_factory=EvalPaths)


def register_schema() -> None:
    """Make the schemas known to Hydra under the names that the config files use."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="train_schema", node=TrainConfig)
    ConfigStore.instance().store(name="eval_schema", node=EvalConfig)


def check(cfg: DictConfig) -> None:
    """Refuse values that compose but make no sense, and anything that is missing or cannot be resolved.

    Raises:
        UserError: names the key, the value and what is allowed.
    """
    missing = sorted(str(key) for key in OmegaConf.missing_keys(cfg))
    if missing:
        raise UserError(f"{missing[0]}: has no value. Give one: {missing[0]}=...")
    OmegaConf.resolve(cfg.copy())
    for key in ("T", "epochs", "batch_size"):
        if cfg[key] < 1:
            raise UserError(f"{key}={cfg[key]}: must be at least 1.")
    if not 0 <= cfg.seed < 2**32:
        raise UserError(f"seed={cfg.seed}: must lie in [0, 2**32).")
    if cfg.threads is not None and cfg.threads < 1:
        raise UserError(f"threads={cfg.threads}: must be at least 1, or null for PyTorch's choice.")
    if not re.fullmatch(r"[A-Za-z0-9_+=,-][A-Za-z0-9._+=,-]*", cfg.name):
        raise UserError(f"name={cfg.name}: use letters, digits and ._+=,- only; it becomes a folder's name.")
    _check_groups(cfg)
    _check_trainer(cfg)
    _check_eval_precision(cfg)
    if isinstance(cfg.optimizer.decay, str) or cfg.optimizer.decay is None:
        raise UserError(f"optimizer.decay={cfg.optimizer.decay}: give a list, such as [weight] or [].")
    _positive("optimizer.lr", cfg.optimizer.lr)
    for key, node in cfg.callbacks.items():
        if node is not None and not (isinstance(node, DictConfig) and isinstance(node.get("_target_"), str)):
            raise UserError(f"callbacks.{key}: needs a _target_, or null to drop it.")
        name = node._target_.rpartition(".")[2] if node is not None else ""
        if name == "Timer":
            raise UserError(f"callbacks.{key}: a Timer ends an epoch in its middle. {STOP_EARLIER}")
        if name == "GradientAccumulationScheduler":
            raise UserError(f"callbacks.{key}: batches would be shown again. Use trainer.accumulate_grad_batches.")
    if cfg.row is not None and not (isinstance(cfg.row, DictConfig) and isinstance(cfg.row.get("id"), str)):
        raise UserError(f"row={cfg.row}: must be null, or the block of a row with its id.")


def _check_groups(cfg: DictConfig) -> None:
    """Each group is one, and what repeats another key repeats it: a difference would have no effect, or a wrong one."""
    for group in GROUPS:
        if not isinstance(cfg[group], DictConfig):
            raise UserError(f"{group}={cfg[group]}: must be the name of a config in configs/{group}.")
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    for key, source in REPEATS.items():
        group, _, own = key.partition(".")
        given, wanted = resolved[group].get(own, _ABSENT), lookup(resolved, source)
        if given is not _ABSENT and normal(given) != normal(wanted) and key != "data.seed":
            pairs = ((key, given), (source, wanted))
            ours, theirs = (name if isinstance(value, dict | list) else f"{name}={value}" for name, value in pairs)
            raise UserError(f"{ours}: is to follow {theirs}. Set {source} instead.")


def _check_trainer(cfg: DictConfig) -> None:
    trainer = cfg.trainer
    for key in ("max_time", "fast_dev_run"):
        if trainer.get(key):
            raise UserError(f"trainer.{key}={trainer[key]}: would end training within an epoch. {STOP_EARLIER}")
    for key in OURS:
        if key in trainer:
            raise UserError(f"trainer.{key}: is set here and would have no effect. Leave it out.")
    every = trainer.get("val_check_interval")
    if every is not None and not (isinstance(every, float) and every == 1.0):
        raise UserError(
            f"trainer.val_check_interval={trainer.val_check_interval}: an epoch is evaluated at its end, so that the "
            "last one's accuracy is that of the trained network. Use trainer.check_val_every_n_epoch."
        )
    for key, what in (("outputs", "runs"), ("data", "data sets")):
        if cfg.paths[key] in (None, ""):
            raise UserError(f"paths.{key}={'null' if cfg.paths[key] is None else ''}: give the folder for {what}.")
    if trainer.get("max_steps", -1) != -1:
        raise UserError(f"trainer.max_steps={trainer.max_steps}: set epochs=... instead; schedules follow it.")
    for key in ("accumulate_grad_batches", "check_val_every_n_epoch"):
        _positive(f"trainer.{key}", trainer[key], whole=True)
    for key in ("limit_train_batches", "limit_val_batches"):
        _positive(f"trainer.{key}", trainer[key])
    if trainer.get("gradient_clip_val") is not None:
        _positive("trainer.gradient_clip_val", trainer.gradient_clip_val)
    every = trainer.check_val_every_n_epoch
    if cfg.epochs % every:
        raise UserError(
            f"trainer.check_val_every_n_epoch={every}: must divide epochs={cfg.epochs}, "
            "so that the last epoch is evaluated."
        )


def _check_eval_precision(cfg: DictConfig) -> None:
    wanted, precision = cfg.get("eval_precision"), str(cfg.trainer.precision)
    if wanted not in (None, "32-true"):
        raise UserError(f"eval_precision={wanted}: must be 32-true, or null for trainer.precision.")
    if wanted and not (precision.endswith("-mixed") or precision in ("32", "32-true")):
        raise UserError(
            f"eval_precision={wanted}: does not go with trainer.precision={precision}. Set eval_precision=null."
        )


def _positive(key: str, value: Any, whole: bool = False) -> None:
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or value <= 0:
        raise UserError(f"{key}={value}: must be a {'whole ' if whole else ''}number above 0.")


def compose_row(row: str, configs: Path = CONFIGS) -> dict[str, Any]:
    """The row's config as a run would resolve it.

    Raises:
        UserError: its files do not compose.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    register_schema()
    try:
        with hydra.initialize_config_dir(str(configs.absolute()), version_base="1.3"):
            cfg = hydra.compose("train", [f"experiment={row}"])
        resolved = OmegaConf.to_container(cfg, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"experiment={row}: does not compose: {' '.join(str(error).split())}") from error
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}
