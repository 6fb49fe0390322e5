"""Where the configs lie, the root schema of a training config, and the checks that need no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf

from snnbench import commands, objective, own, soundness
from snnbench.check import choice, count, number, shown
from snnbench.errors import UserError
from snnbench.runs.recipe import REPEATS, lookup, normal

CONFIGS = commands.CONFIGS
GROUPS = ("data", "neuron", "backbone", "norm", "augment", "loss", "optimizer", "schedule", "trainer", "paths")
LAYOUTS = ("auto", "contiguous", "channels_last")
MEMORY = ("floats", "bits")
STEP: dict[str, Any] = {"layout": "auto", "fuse": "auto", "memory": "floats"}
"""How a step is computed, as it is unless a config says otherwise: those of older runs have no such keys."""
_ABSENT = object()


@dataclass
class TrainConfig:
    """Types of the top-level keys; groups are free-form, since users bring their own classes."""

    T: int = MISSING
    seed: int = MISSING
    epochs: int = MISSING
    batch_size: int = MISSING
    engine: str = MISSING
    layout: str = MISSING
    fuse: Any = MISSING
    memory: str = MISSING
    compile: bool = MISSING
    cuda_graph: bool = MISSING
    eval_precision: str | None = None
    threads: int | None = MISSING
    name: str = MISSING
    tags: list[str] = field(default_factory=list)
    resume: str | None = None
    retry: str | None = None
    row: Any = None
    optimize: Any = None
    lr_find: bool = False
    weights: Any = None
    debug: str | None = None
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
    ckpt: str | None = None
    engine: str | None = None
    accelerator: str | None = None
    energy: Any = False
    row: str | None = None
    drop: list[str] = field(default_factory=list)
    neuron: Any = field(default_factory=dict)
    paths: EvalPaths = field(default_factory=EvalPaths)


def register_schema(folders: Iterable[Path] = ()) -> None:
    """Make the schemas, `${home:<path>}` and configs of one's own known to Hydra under the names that files use.

    Args:
        folders: of configs, beside those of this project and of one's own (`snnbench.own`).
    """
    own.register(folders)
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="train_schema", node=TrainConfig)
    evaluation = OmegaConf.structured(EvalConfig)
    OmegaConf.set_struct(evaluation.neuron, False)  # single keys of the run's own neuron may be given
    ConfigStore.instance().store(name="eval_schema", node=evaluation)
    OmegaConf.register_new_resolver("home", lambda path: str(commands.home(path)), replace=True)


def folders() -> tuple[Path, ...]:
    """Where configs lie: the project's, and one's own."""
    mine = own.folder()
    return (CONFIGS, mine) if mine else (CONFIGS,)


def at_home(cfg: DictConfig) -> None:
    """Let `~` in the paths of a config mean the home folder, as it does in a shell."""
    for node, keys in ((cfg.get("paths"), ("data", "outputs", "output_dir")), (cfg, ("resume", "run"))):
        for key in keys if isinstance(node, DictConfig) else ():
            value = None if OmegaConf.is_missing(node, key) else node.get(key)
            if isinstance(value, str) and value.startswith("~"):
                node[key] = commands.literal(str(commands.home(value)))


def check(cfg: DictConfig) -> None:
    """Refuse values that compose but make no sense, and anything that is missing or cannot be resolved.

    Raises:
        UserError: names the key, the value and what is allowed.
    """
    missing = sorted(str(key) for key in OmegaConf.missing_keys(cfg))
    if missing:
        raise UserError(f"{missing[0]}: has no value. Give one: {missing[0]}=...")
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    for key, most in (("T", 10**6), ("epochs", 10**7), ("batch_size", 10**9)):
        count(key, cfg[key], most=most)
    if not 0 <= cfg.seed < 2**32:
        raise UserError(f"seed={cfg.seed}: must lie in [0, 2**32).")
    if cfg.get("retry") not in (None, "failed"):
        raise UserError(f"retry={cfg.retry}: must be failed, for jobs of a sweep that failed by themselves, or null.")
    count("threads", cfg.threads, most=4096, also=(None,), hint="null is as many as cores are free.")
    if not re.fullmatch(r"[A-Za-z0-9_+=,-][A-Za-z0-9._+=,-]{,199}", cfg.name):
        raise UserError(f"name={cfg.name}: use letters, digits and ._+=,- only; it becomes a folder's name.")
    _check_groups(cfg, resolved)
    soundness.check_technical(resolved)
    soundness.check_frames(resolved)
    soundness.check_trainer(resolved["trainer"], cfg.epochs)
    _check_eval_precision(cfg)
    soundness.check_cuda_graph(resolved)
    objective.check(resolved)
    check_step(engine=cfg.engine, **{key: cfg.get(key, value) for key, value in STEP.items()})
    if not isinstance(resolved["optimizer"].get("decay"), list):
        decay = resolved["optimizer"].get("decay")
        raise UserError(f"optimizer.decay={shown(decay)}: give a list, such as [weight] or [].")
    number("optimizer.lr", resolved["optimizer"].get("lr"), "(0, inf)")
    _check_callbacks(cfg)
    if not all(isinstance(tag, str) for tag in resolved["tags"]):
        raise UserError(f"tags={shown(resolved['tags'])}: must be a list of names.")
    if cfg.row is not None and not (isinstance(cfg.row, DictConfig) and isinstance(cfg.row.get("id"), str)):
        raise UserError(f"row={cfg.row}: must be null, or the block of a row with its id.")


def check_step(*, engine: str, layout: Any, fuse: Any, memory: Any) -> None:
    """Refuse values of the keys that say how a step is computed (`snnbench.backbones.step`).

    Raises:
        UserError: names the key, the value and what is allowed.
    """
    choice("layout", layout, LAYOUTS)
    if fuse != "auto" and not isinstance(fuse, bool):
        raise UserError(f"fuse={shown(fuse)}: must be auto, true or false.")
    if choice("memory", memory, MEMORY) == "bits" and (fuse is False or engine == "reference"):
        raise UserError(
            "memory=bits: needs norms and neurons in one. Take another engine than reference, and fuse=auto."
        )


def _check_callbacks(cfg: DictConfig) -> None:
    if not isinstance(cfg.callbacks, DictConfig):
        raise UserError(f"callbacks={cfg.callbacks}: must be the name of a config in configs/callbacks.")
    for key, node in ((str(key), node) for key, node in cfg.callbacks.items()):
        if node is not None and not (isinstance(node, DictConfig) and isinstance(node.get("_target_"), str)):
            raise UserError(f"callbacks.{key}: needs a _target_, or null to drop it.")
        if node is not None:
            soundness.check_callback(f"callbacks.{key}", node)
    soundness.check_averages({str(key): node for key, node in cfg.callbacks.items() if node is not None})


def _check_groups(cfg: DictConfig, resolved: dict[str, Any]) -> None:
    """Each group is one, and what repeats another key repeats it: a difference would have no effect, or a wrong one."""
    for group in GROUPS:
        if not isinstance(cfg[group], DictConfig):
            raise UserError(f"{group}={cfg[group]}: must be the name of a config in configs/{group}.")
        if group != "paths" and not isinstance(resolved[group].get("_target_"), str):
            target = shown(resolved[group].get("_target_"))
            raise UserError(
                f"{group}._target_={target}: must be the path of a class, as the configs of {group} have it."
            )
        if "name" in resolved[group]:
            soundness.check_name(f"{group}.name", resolved[group]["name"])
    for key in ("data", "outputs"):
        soundness.check_path(f"paths.{key}", resolved["paths"].get(key))
    if "root" in resolved["data"]:
        soundness.check_path("data.root", resolved["data"]["root"])
    if resolved["paths"].get("output_dir") is not None:
        soundness.check_path("paths.output_dir", resolved["paths"]["output_dir"])
    for key, source in REPEATS.items():
        group, _, own = key.partition(".")
        given, wanted = resolved[group].get(own, _ABSENT), lookup(resolved, source)
        if given is not _ABSENT and normal(given) != normal(wanted) and key != "data.seed":
            pairs = ((key, given), (source, wanted))
            ours, theirs = (name if isinstance(value, dict | list) else f"{name}={value}" for name, value in pairs)
            raise UserError(f"{ours}: is to follow {theirs}. Set {source} instead.")


def _check_eval_precision(cfg: DictConfig) -> None:
    wanted, precision = cfg.get("eval_precision"), str(cfg.trainer.precision)
    if wanted not in (None, "32-true"):
        raise UserError(f"eval_precision={wanted}: must be 32-true, or null for trainer.precision.")
    if wanted and not (precision.endswith("-mixed") or precision in ("32", "32-true")):
        raise UserError(
            f"eval_precision={wanted}: does not go with trainer.precision={precision}. Set eval_precision=null."
        )


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
