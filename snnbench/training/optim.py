"""Parameter groups for weight decay, and learning rates per epoch."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

from snnbench.check import choices, count, flag, number, numbers
from snnbench.errors import UserError
from snnbench.neurons import SpikingNeuron

KINDS = ("weight", "bias", "norm", "neuron")


def parameter_kind(module: nn.Module, name: str) -> str:
    """One of KINDS for the parameter `name` that belongs to `module` itself."""
    if isinstance(module, SpikingNeuron):
        return "neuron"
    if isinstance(module, _NormBase | nn.LayerNorm | nn.GroupNorm):
        return "norm"
    return "bias" if name == "bias" else "weight"


def parameter_groups(network: nn.Module, weight_decay: float, decay: Sequence[str]) -> list[dict[str, Any]]:
    """Two groups, with and without weight decay; each parameter once, frozen ones left out.

    Args:
        network: whose parameters.
        weight_decay: the decay of the first group.
        decay: the KINDS it acts on.

    Raises:
        UserError: an unknown kind, or a decay below 0.
    """
    number("optimizer.weight_decay", weight_decay, "[0, inf)")
    decay = choices("optimizer.decay", decay, KINDS)
    kinds: dict[nn.Parameter, str] = {}
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                kinds.setdefault(parameter, parameter_kind(module, name))
    groups = [
        {"params": [p for p, kind in kinds.items() if kind in decay], "weight_decay": weight_decay},
        {"params": [p for p, kind in kinds.items() if kind not in decay], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def check_optimizer(optimizer: Optimizer) -> None:
    """Refuse what PyTorch takes in silence: not-a-number, infinity, and a value of another kind than the default.

    Raises:
        UserError: names the key.
    """
    for name, parameter in inspect.signature(type(optimizer)).parameters.items():
        key, default, value = f"optimizer.{name}", parameter.default, optimizer.defaults.get(name)
        if value is None:  # its own business, or not asked for
            continue
        if isinstance(default, bool):
            flag(key, value)
        elif isinstance(default, int | float):
            number(key, value)
        elif isinstance(default, tuple):
            numbers(key, value, length=len(default))


@dataclass(frozen=True)
class ConstantSchedule:
    """The optimizer's learning rate throughout."""

    def __call__(self, optimizer: Optimizer) -> LambdaLR:
        return LambdaLR(optimizer, lambda epoch: 1.0)


@dataclass(frozen=True)
class CosineSchedule:
    """Linear warm-up, cosine to a floor, constant cool-down; one value per epoch, counted from 0.

    The cosine spans epochs 0 to `epochs - cooldown`, warm-up included, as in timm and PyTorch's annealing.

    Args:
        epochs: of the whole run.
        warmup: epochs of the linear rise from `warmup_lr`.
        warmup_lr: the learning rate of epoch 0 when there is a warm-up; at most the optimizer's.
        min_lr: the floor; at most the optimizer's learning rate.
        cooldown: epochs at the floor, at the end.

    Raises:
        UserError: a number outside its range, or no epoch left between warm-up and cool-down.
    """

    epochs: int
    warmup: int = 0
    warmup_lr: float = 0.0
    min_lr: float = 0.0
    cooldown: int = 0

    def __post_init__(self) -> None:
        count("schedule.epochs", self.epochs)
        count("schedule.warmup", self.warmup, 0)
        count("schedule.cooldown", self.cooldown, 0)
        number("schedule.warmup_lr", self.warmup_lr, "[0, inf)")
        number("schedule.min_lr", self.min_lr, "[0, inf)")
        if self.warmup + self.cooldown >= self.epochs:
            raise UserError(
                f"schedule.warmup={self.warmup}, schedule.cooldown={self.cooldown}: together they must leave at least "
                f"one of schedule.epochs={self.epochs}."
            )

    def lr(self, epoch: int, peak: float) -> float:
        """The learning rate of `epoch` for an optimizer whose own is `peak`."""
        if epoch < self.warmup:
            return self.warmup_lr + (peak - self.warmup_lr) * epoch / self.warmup
        span = self.epochs - self.cooldown
        if epoch >= span:
            return self.min_lr
        return self.min_lr + (peak - self.min_lr) * (1 + math.cos(math.pi * epoch / span)) / 2

    def __call__(self, optimizer: Optimizer) -> LambdaLR:
        peak = _peak(optimizer)
        _check_below(peak, min_lr=self.min_lr, warmup_lr=self.warmup_lr if self.warmup else 0.0)
        return LambdaLR(optimizer, lambda epoch: self.lr(epoch, peak) / peak)


@dataclass(frozen=True)
class PeriodicCosineSchedule:
    """PyTorch's CosineAnnealingLR: a cosine to `eta_min` over T_max epochs, back up over the next T_max, and so on.

    Args:
        T_max: epochs of half a period.
        eta_min: the floor; at most the optimizer's learning rate.

    Raises:
        UserError: a number outside its range.
    """

    T_max: int
    eta_min: float = 0.0

    def __post_init__(self) -> None:
        count("schedule.T_max", self.T_max)
        number("schedule.eta_min", self.eta_min, "[0, inf)")

    def __call__(self, optimizer: Optimizer) -> CosineAnnealingLR:
        _check_below(_peak(optimizer), eta_min=self.eta_min)
        return CosineAnnealingLR(optimizer, self.T_max, self.eta_min)


def _peak(optimizer: Optimizer) -> float:
    return float(optimizer.param_groups[0]["lr"])


def _check_below(peak: float, **rates: float) -> None:
    for key, value in rates.items():
        number(f"schedule.{key}", value, f"[0, {peak}]", hint=f"optimizer.lr={peak} is the highest learning rate.")
