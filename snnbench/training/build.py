"""From a composed config to live objects; constructors' complaints come out as UserErrors."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from snnbench import threads
from snnbench.backbones.step import set_step
from snnbench.commands import literals
from snnbench.config import STEP
from snnbench.data.tree import spelt
from snnbench.errors import UserError, did_you_mean
from snnbench.registry import keywords
from snnbench.seeding import drawn_aside, seed_all
from snnbench.training.fused import build_fused
from snnbench.training.groups import GROUPING, check_optimizer, parameter_groups
from snnbench.training.losses import Follower
from snnbench.training.module import SpikingClassifier
from snnbench.training.optim import checked


def make(cfg: DictConfig, group: str, drop: Sequence[str] = ("name",), **extra: Any) -> Any:
    """Instantiate the config group `group` without its keys in `drop`; `name` only describes it.

    Raises:
        UserError: the constructor refused an argument, or there is no such class.
    """
    node = OmegaConf.to_container(cfg[group], resolve=True)
    assert isinstance(node, dict)
    try:
        options = {key: node[key] for key in node if key not in drop}
        given = {
            key: value if not isinstance(value, str) else literals(literals(value)) for key, value in extra.items()
        }
        return instantiate(literals(literals(options)), **given, _convert_="all")  # Hydra resolves texts twice
    except UserError:
        raise
    except Exception as error:  # whatever a constructor raises, it was the config that called it so
        cause: BaseException = error
        while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, UserError):
            raise cause from error
        kind = "" if isinstance(cause, InstantiationException) else f"{type(cause).__name__}: "
        raise UserError(f"{group}: {kind}{' '.join(str(cause).split())}") from error


def build_data(cfg: DictConfig) -> Any:
    """The data module, with its files found and verified.

    `batch_size` is what one optimizer step sees: where gradients are accumulated, a loader's batch is a share of it.
    """
    accumulate = cfg.trainer.accumulate_grad_batches
    if cfg.batch_size % accumulate:
        raise UserError(f"batch_size={cfg.batch_size}: must divide by trainer.accumulate_grad_batches={accumulate}.")
    data = make(cfg, "data", drop=(), batch_size=cfg.batch_size // accumulate)
    try:
        data.prepare_data()
        data.setup("fit")
    except OSError as error:
        if isinstance(error, UserError):
            raise
        what = f"{spelt(str(error.filename))}: {error.strerror}" if error.filename else str(error)
        raise UserError(f"data={cfg.data.get('name')}: {what}. Is the data whole, and can it be read?") from error
    return data


def build_network(cfg: DictConfig) -> nn.Module:
    """The backbone with its neurons and norms, initialised from the seed alone.

    What a neuron draws moves no weight around it: networks that differ in their neurons begin with the same weights.
    """
    seed_all(cfg.seed)
    neuron = drawn_aside(_blamed(make(cfg, "neuron")), cfg.seed)
    network: nn.Module = make(cfg, "backbone", neuron=neuron, norm=make(cfg, "norm"))
    set_step(network, engine=cfg.engine, **{key: cfg.get(key, value) for key, value in STEP.items()})
    return network


def _blamed(neuron: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """The same factory; a constructor that does not take its options says so of the neuron, not of who calls it."""
    cls = getattr(neuron, "func", neuron)

    @functools.wraps(cls, updated=())
    def build(*given: Any, **options: Any) -> nn.Module:
        try:
            return neuron(*given, **options)
        except TypeError as error:
            known = keywords(cls) if isinstance(cls, type) else {}
            wrong = [name for name in getattr(neuron, "keywords", {}) if f"'{name}'" in str(error)]
            near = did_you_mean(wrong[0], known) if wrong else ""
            raise UserError(f"neuron: {error}.{near}") from error

    return build


def build_loss(cfg: DictConfig, network: nn.Module) -> nn.Module:
    """The loss; a Follower gets to know the network."""
    loss: nn.Module = make(cfg, "loss")
    if isinstance(loss, Follower):
        loss.follow(network)
    return loss


def build_module(cfg: DictConfig, network: nn.Module, data: Any) -> SpikingClassifier:
    """Network, loss, optimizer and schedule as one LightningModule."""
    module = SpikingClassifier(
        network,
        loss=build_loss(cfg, network),
        optimizer=build_optimizer(cfg),
        schedule=make_schedule(cfg),
        seed=cfg.seed,
        batch_transform=data.batch_transform,
        eval_names=data.eval_names,
        compile=cfg.compile,
        cuda_graph=cfg.get("cuda_graph", False),
        eval_autocast=cfg.get("eval_precision") is None,
    )
    module.configure_optimizers()  # its mistakes should show before the run has a folder
    return module


def make_schedule(cfg: DictConfig) -> Callable[[Optimizer], LRScheduler]:
    """A function from the optimizer to its learning rates over epochs.

    Raises:
        UserError: also the function, whatever the scheduler has against its options.
    """
    schedule = checked(make(cfg, "schedule"))

    def build(optimizer: Optimizer) -> LRScheduler:
        try:
            return schedule(optimizer)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise UserError(f"schedule: {error}") from error

    return build


def build_optimizer(cfg: DictConfig) -> Callable[[nn.Module], Optimizer]:
    """A function from the network to its optimizer, with the groups that the keys in GROUPING ask for."""
    options: Any = OmegaConf.to_container(cfg.optimizer, resolve=True)
    factory = make(cfg, "optimizer", drop=("name", *GROUPING), _partial_=True)
    clipped = cfg.trainer.precision == "16-mixed" and cfg.trainer.get("gradient_clip_val")

    def build(network: nn.Module) -> Optimizer:
        grouping = {key: options[key] for key in GROUPING if key in options}
        groups = parameter_groups(network, options["lr"], options["weight_decay"], **grouping)
        try:
            optimizer = build_fused(factory, groups, wanted=not clipped)  # which unscales the gradients by itself
        except (TypeError, ValueError) as error:
            raise UserError(f"optimizer: {error}") from error
        check_optimizer(optimizer)
        return optimizer

    return build


def build_trainer(
    cfg: DictConfig,
    callbacks: Sequence[lightning.Callback] = (),
    plugins: Sequence[Any] = (),
    last: Sequence[lightning.Callback] = (),
    *,
    root: Path | None = None,
) -> lightning.Trainer:
    """The Lightning trainer, yet without loggers, with the config's callbacks between `callbacks` and `last`.

    `root`: the run's folder. Under SLURM, Lightning looks there for checkpoints that it would go on from.
    """
    configured = [make(cfg.callbacks, key) for key, node in cfg.callbacks.items() if node]
    return bare_trainer(cfg, plugins, callbacks=[*callbacks, *configured, *last], default_root_dir=root and str(root))


def bare_trainer(cfg: DictConfig, plugins: Sequence[Any] = (), **options: Any) -> lightning.Trainer:
    """The trainer by its own options, and by `options`."""
    trainer: lightning.Trainer = make(
        cfg,
        "trainer",
        **{"callbacks": [], **options},
        plugins=list(plugins),
        logger=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    # Signals are ours (`snnbench.interrupt`): on SIGTERM, Lightning talks to the other processes, which may be waiting
    # for this one elsewhere.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer


def epoch_counter(trainer: lightning.Trainer, data: Any) -> Callable[[], int]:
    """A function that tells the current epoch from the global step, right also while workers prefetch."""
    limit, batches = trainer.limit_train_batches, data.steps_per_epoch
    batches = min(limit, batches) if isinstance(limit, int) else int(limit * batches)
    steps = max(1, -(-batches // trainer.accumulate_grad_batches))
    return functools.partial(lambda t, n: int(t.global_step // n), trainer, steps)


def set_threads(choice: threads.Choice) -> None:
    """In this process, and in those that it starts for the run."""
    os.environ[threads.USERS] = str(choice.count)
    torch.set_num_threads(choice.count)
