"""The root schema of a training config, and the checks that need no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf

from snnbench.errors import UserError


@dataclass
class TrainConfig:
    """Types of the top-level keys; groups are free-form, since users bring their own classes."""

    T: int = MISSING
    seed: int = MISSING
    epochs: int = MISSING
    batch_size: int = MISSING
    engine: str = MISSING
    compile: bool = MISSING
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
class EvalConfig:
    """Types of the keys of eval.py."""

    run: str = MISSING
    ckpt: str = MISSING
    engine: str | None = None
    accelerator: str = MISSING


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
    every = cfg.trainer.get("check_val_every_n_epoch") or 1
    if cfg.epochs % every:
        raise UserError(
            f"trainer.check_val_every_n_epoch={every}: must divide epochs={cfg.epochs}, "
            "so that the last epoch is evaluated."
        )
