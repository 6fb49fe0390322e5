"""Parameter groups by learning rate and weight decay, and learning rates per epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from snnbench.errors import UserError
from snnbench.neurons import SpikingNeuron

KINDS = ("weight", "bias", "norm", "neuron", "gate")


def parameter_kinds(module: nn.Module, name: str) -> tuple[str, ...]:
    """What of KINDS the parameter `name` of `module` itself is, the narrowest first: a gate is of the neuron, too."""
    if isinstance(module, SpikingNeuron):
        return ("gate", "neuron") if name in module.gates else ("neuron",)
    if isinstance(module, _NormBase | nn.LayerNorm | nn.GroupNorm):
        return ("norm",)
    return ("bias",) if name == "bias" else ("weight",)


def parameter_groups(
    network: nn.Module,
    lr: float,
    weight_decay: float,
    decay: Sequence[str],
    lr_factors: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """A group for each learning rate, with and without weight decay; each parameter once, frozen ones left out.

    Args:
        network: whose parameters.
        lr: the learning rate of what `lr_factors` does not name; its groups come first.
        weight_decay: the decay of what decays.
        decay: the KINDS it acts on.
        lr_factors: what multiplies the learning rate of a kind; the narrowest kind of a parameter decides.

    Raises:
        UserError: an unknown kind, or a factor that is no number above 0.
    """
    factors = _check_factors({} if lr_factors is None else lr_factors)
    _check_kinds("decay", decay)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): [], (1.0, False): []}
    seen: set[nn.Parameter] = set()
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or parameter in seen:
                continue
            seen.add(parameter)
            kinds = parameter_kinds(module, name)
            factor = next((factors[kind] for kind in kinds if kind in factors), 1.0)
            groups.setdefault((factor, any(kind in decay for kind in kinds)), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": weight_decay if decays else 0.0,
            **({} if factor == 1 else {"lr": lr * factor}),
        }
        for (factor, decays), parameters in groups.items()
        if parameters
    ]


def _check_kinds(key: str, kinds: Iterable[str]) -> None:
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"optimizer.{key}: {kind!r} is unknown. Allowed: {', '.join(KINDS)}.")


def _check_factors(lr_factors: Mapping[str, float]) -> dict[str, float]:
    if not isinstance(lr_factors, Mapping):
        raise UserError(f"optimizer.lr_factors={lr_factors}: give factors by kind, such as {{gate: 0.1}}, or {{}}.")
    _check_kinds("lr_factors", lr_factors)
    for kind, value in lr_factors.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise UserError(f"optimizer.lr_factors.{kind}={value}: must be a number above 0.")
    return dict(lr_factors)


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
        warmup_lr: the learning rate of epoch 0 when there is a warm-up.
        min_lr: the floor.
        cooldown: epochs at the floor, at the end.
    """

    epochs: int
    warmup: int = 0
    warmup_lr: float = 0.0
    min_lr: float = 0.0
    cooldown: int = 0

    def __post_init__(self) -> None:
        if self.warmup < 0 or self.cooldown < 0 or self.warmup + self.cooldown >= self.epochs:
            raise UserError(
                f"schedule.warmup={self.warmup}, schedule.cooldown={self.cooldown}: neither may be negative and "
                f"together they must leave at least one of epochs={self.epochs}."
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
        return LambdaLR(optimizer, [partial(self._factor, float(group["lr"])) for group in optimizer.param_groups])

    def _factor(self, peak: float, epoch: int) -> float:
        return self.lr(epoch, peak) / peak
