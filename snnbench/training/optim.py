"""Parameter groups for weight decay, and learning rates per epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from snnbench.check import choice, count, number
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
    for kind in decay:
        choice("optimizer.decay", kind, KINDS)
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
        peak = float(optimizer.param_groups[0]["lr"])
        for key, value in (("min_lr", self.min_lr), ("warmup_lr", self.warmup_lr if self.warmup else 0.0)):
            number(f"schedule.{key}", value, f"[0, {peak}]", hint=f"optimizer.lr={peak} is the highest learning rate.")
        return LambdaLR(optimizer, lambda epoch: self.lr(epoch, peak) / peak)
