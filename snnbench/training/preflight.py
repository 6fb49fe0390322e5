"""What a training would be stopped by once its folder is there, found before."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.utils import get_object
from lightning.pytorch.callbacks import LearningRateMonitor
from omegaconf import DictConfig, OmegaConf
from torch import nn

from snnbench import commands, log, objective, soundness
from snnbench.errors import UserError, did_you_mean
from snnbench.neurons.base import spiking_layers
from snnbench.runs.recipe import TECHNICAL
from snnbench.training import build, devices, distributed, loggers
from snnbench.training.annotated import check_options
from snnbench.training.initial import load_weights
from snnbench.training.module import SpikingClassifier

HANDED_ON = {"TensorBoardLogger": "torch.utils.tensorboard.SummaryWriter", "WandbLogger": "wandb.init"}
"""To what some loggers hand the options that they do not know, when they first log."""

NOT_MADE = ("WandbLogger", "MLFlowLogger")
"""Loggers that are not made beforehand, since that may start a process, or ask a server."""


def check_parts(cfg: DictConfig, here: bool = True) -> None:
    """Build everything that can be built without the data's files: constructors check more than the config's text.

    Args:
        cfg: the run's config.
        here: whether it will run on this machine; else what hangs on its devices is looked at where it begins.

    Raises:
        UserError: names the key.
    """
    if here:
        devices.check_device(cfg)
        distributed.check_job(cfg)
    network = build.build_network(cfg)
    try_steps(network)
    load_weights(cfg, network)
    build.make(cfg, "data", drop=())
    build.build_loss(cfg, network)
    build.make_schedule(cfg)(build.build_optimizer(cfg)(network))
    if here:
        check_trainer(cfg)


def check_files(cfg: DictConfig, fetch: bool = True) -> None:
    """See that the files of the data are there, fetching them where they can be fetched, unless `fetch` is false.

    Raises:
        UserError: says where they were looked for and how to get them.
    """
    options = {} if fetch or "download" not in cfg.data else {"download": False}
    data = build.make(cfg, "data", drop=(), batch_size=int(cfg.batch_size), **options)
    try:
        data.source.prepare() if hasattr(data, "source") else data.prepare_data()
    except UserError as error:
        if "download" not in options:
            raise
        raise UserError(str(error).replace(" (data.download=false)", "")) from error  # nobody has said so
    except OSError as error:
        raise UserError(f"data={cfg.data.name}: {error}") from error


def ready(cfg: DictConfig, data: Any, begun: bool = False) -> SpikingClassifier:
    """What a run of `cfg` trains on `data`, with its first weights, once nothing speaks against it.

    Args:
        cfg: the run's config.
        data: its data, built.
        begun: whether a checkpoint brings the weights.

    Raises:
        UserError: names the key.
    """
    check_lengths(cfg, data)
    network = build.build_network(cfg)
    try_steps(network)
    if not begun:
        load_weights(cfg, network)
    module = build.build_module(cfg, network, data)
    check_trainer(cfg, data.eval_names)
    return module


def try_steps(network: nn.Module) -> None:
    """Run the step of each neuron of one's own once, for the names that it misspells.

    Raises:
        UserError: with the file and the line.
    """
    own = {type(layer): layer for layer in spiking_layers(network).values()}
    for kind, layer in own.items():
        if kind.__module__.startswith("snnbench."):
            continue
        cell = copy.deepcopy(layer)
        cell.engine = "reference"
        x = torch.zeros(getattr(cell, "T", 2), 1, cell.channels or 1, 1, 1)
        try:
            with torch.no_grad(), torch.random.fork_rng([]):
                cell.run(x)
        except (UserError, AttributeError, NameError) as error:
            raise UserError(f"{_said(kind, error)}{_line(kind, error)}") from error
        except Exception:  # may lie in so small an input
            continue


def _said(kind: type, error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    name, known = getattr(error, "name", None), dir(getattr(error, "obj", None))
    return f"neuron: {kind.__name__}: {error}.{did_you_mean(name, known) if name else ''}"


def _line(kind: type, error: Exception) -> str:
    """Where in the file of a class an error came about."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" ({commands.typed(Path(str(file)))}:{lines[-1]})" if lines else ""


def check_trainer(cfg: DictConfig, passes: Sequence[str] = ()) -> None:
    """Build trainer, callbacks and logger once to see that they can be, before the run has a folder.

    Of wandb's logger only the arguments are looked at, since to make one may start a process.

    Args:
        cfg: the run's config.
        passes: names of its evaluations, whose losses and accuracies callbacks may monitor; where they are known.

    Raises:
        UserError: what Lightning, or a callback, has to say against their options.
    """
    log.quieten()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cfg = cfg.copy()
        cfg.paths.output_dir = folder
        resolved: Any = OmegaConf.to_container(cfg, resolve=True)
        nodes = {"trainer": resolved["trainer"], **loggers.nodes(cfg)}
        nodes |= {f"callbacks.{key}": node for key, node in resolved["callbacks"].items()}
        for key, node in nodes.items():
            if node and node.get("_target_"):
                check_options(key, node)
        trainer = build.build_trainer(cfg, [])
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            _check_monitor(callback, passes or objective.passes_of(resolved) or ())
            if isinstance(callback, LearningRateMonitor) and not cfg.logger:
                raise UserError(
                    "callbacks: LearningRateMonitor tells a logger, and there is none. Choose one: logger=..."
                )
        for key, node in loggers.nodes(cfg).items():
            _check_logger(key, node)
        soundness.check_numbers(resolved)


def _check_monitor(callback: lightning.Callback, passes: Sequence[str]) -> None:
    monitor = getattr(callback, "monitor", None)
    measured = [f"{name}/{what}" for name in passes for what in ("acc", "loss")]
    if monitor is None or not measured or monitor in measured:
        return
    hint = " data.val_fraction=0.1 holds out a validation set." if str(monitor).startswith("val/") else ""
    raise UserError(
        f"callbacks: monitor={monitor} of {type(callback).__name__} is not measured. "
        f"Allowed: {', '.join(measured)}.{hint}"
    )


def _check_logger(key: str, node: DictConfig) -> None:
    target = str(node._target_)
    taken = _parameters(key, target) | TECHNICAL | {"_target_"}
    name = target.rpartition(".")[2]
    for option in (str(option) for option in node if option not in taken and "kwargs" in taken):
        if name in HANDED_ON and option not in _parameters(key, HANDED_ON[name]):
            raise UserError(f"{key}.{option}: {name} has no such option.{did_you_mean(option, taken)}")
    if name == "MLFlowLogger" and importlib.util.find_spec("mlflow") is None:
        raise UserError(f"{key}: MLflow is not installed: pip install mlflow")
    if name not in NOT_MADE:
        logger = build.make(OmegaConf.create({"logger": node}), "logger", drop=())
        try:
            _ = logger.name, logger.version, logger.save_dir, getattr(logger, "log_dir", None)
        except (TypeError, ValueError) as error:
            raise UserError(f"{key}: {error}") from error


def _parameters(key: str, target: str) -> set[str]:
    try:
        return set(inspect.signature(get_object(target)).parameters)
    except Exception as error:  # importing it may raise anything
        raise UserError(f"{key}._target_={target}: {' '.join(str(error).split())}") from error


def check_lengths(cfg: DictConfig, data: Any) -> None:
    """Refuse a share of an epoch's batches that is none.

    Raises:
        UserError: names the key.
    """
    loaders = {"limit_train_batches": [data.steps_per_epoch], "limit_val_batches": map(len, data.val_dataloader())}
    for key, lengths in loaders.items():
        share, batches = cfg.trainer.get(key, 1.0), min(lengths)
        if isinstance(share, float) and int(share * batches) < 1:
            raise UserError(f"trainer.{key}={share}: is no batch of the {batches} that there are; give a larger share.")
