"""Parameter groups by learning rate and weight decay, and learning rates per epoch."""

from __future__ import annotations

import inspect
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.parametrize import ParametrizationList
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

from snnbench.check import choices, count, counts, flag, number, numbers, shown
from snnbench.errors import UserError
from snnbench.neurons import SpikingNeuron

KINDS = ("weight", "bias", "norm", "neuron", "gate")
GROUPING = ("decay", "lr_factors", "adam", "adam_lr")
"""What of an optimizer's config says how its parameters are grouped."""


Kinds = tuple[str, ...]
"""What of KINDS a parameter is, the narrowest first: a gate is of the neuron, too."""


def parameters_with_kinds(network: nn.Module) -> Iterator[tuple[nn.Parameter, Kinds]]:
    """Each parameter once, in the order of `network.modules()`.

    The module decides to which it belongs: all that lies in a neuron or in a norm is of that, be it in a dict, in a
    submodule or behind a parametrization; of a neuron's norm, it is of the norm. Elsewhere, what has no more than one
    dimension counts as a bias.
    """
    seen: set[nn.Parameter] = set()
    for parameter, kinds in _walk(network, None, (), set()):
        if parameter not in seen:
            seen.add(parameter)
            yield parameter, kinds


def _walk(
    module: nn.Module, owner: nn.Module | None, names: Kinds, met: set[nn.Module]
) -> Iterator[tuple[nn.Parameter, Kinds]]:
    """`names` lead from the owner, the neuron or norm around, to `module`; of a parametrization, what it is for."""
    if module in met:
        return
    met.add(module)
    if isinstance(module, SpikingNeuron | _NormBase | nn.LayerNorm | nn.GroupNorm | nn.RMSNorm):
        owner, names = module, ()
    for name, parameter in module.named_parameters(recurse=False):
        kinds = _kinds(owner, names if isinstance(module, ParametrizationList) else (*names, name))
        yield parameter, ("bias",) if kinds == ("weight",) and parameter.dim() <= 1 else kinds
    for name, child in module.named_children():
        replaced = isinstance(module, ParametrizationList)
        yield from _walk(child, owner, names if replaced else (*names, name), met)


def _kinds(owner: nn.Module | None, names: Kinds) -> Kinds:
    if isinstance(owner, SpikingNeuron):
        return ("gate", "neuron") if any(name in owner.gates for name in names) else ("neuron",)
    if owner is not None:
        return ("norm",)
    return ("bias",) if names[-1] == "bias" else ("weight",)


def parameter_groups(
    network: nn.Module,
    lr: float,
    weight_decay: float,
    decay: Sequence[str],
    lr_factors: Mapping[str, float] | None = None,
    adam: Sequence[str] = (),
    adam_lr: float = 1e-3,
) -> list[dict[str, Any]]:
    """A group for each learning rate, with and without weight decay; each parameter once, frozen ones left out.

    Args:
        network: whose parameters.
        lr: the learning rate of what `lr_factors` does not name; its groups come first.
        weight_decay: the decay of what decays.
        decay: the KINDS it acts on.
        lr_factors: what multiplies the learning rate of a kind; the narrowest kind of a parameter decides.
        adam: the kinds that `SGDAdam` gives to Adam, in groups of their own.
        adam_lr: the learning rate of those, which schedules leave alone.

    Raises:
        UserError: an unknown kind, a decay below 0, or a factor or adam_lr that is no number above 0.
    """
    number("optimizer.weight_decay", weight_decay, "[0, inf)")
    number("optimizer.adam_lr", adam_lr, "(0, inf)")
    decay, adam = choices("optimizer.decay", decay, KINDS), choices("optimizer.adam", adam, KINDS)
    factors = _check_factors({} if lr_factors is None else lr_factors)
    groups: dict[tuple[float, bool, bool], list[nn.Parameter]] = {(1.0, True, False): [], (1.0, False, False): []}
    for parameter, kinds in parameters_with_kinds(network):
        if parameter.requires_grad:
            factor = next((factors[kind] for kind in kinds if kind in factors), 1.0)
            decays, by_adam = (any(kind in named for kind in kinds) for named in (decay, adam))
            groups.setdefault((factor, decays, by_adam), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": weight_decay if decays else 0.0,
            **({} if factor == 1 else {"lr": lr * factor}),
            **({"lr": adam_lr, "adam": True, "scheduled": False} if by_adam else {}),
        }
        for (factor, decays, by_adam), parameters in groups.items()
        if parameters
    ]


def _check_factors(lr_factors: Mapping[str, float]) -> dict[str, float]:
    if not isinstance(lr_factors, Mapping):
        hint = "give factors by kind, such as {gate: 0.1}, or {}"
        raise UserError(f"optimizer.lr_factors={shown(lr_factors)}: {hint}.")
    kinds = choices("optimizer.lr_factors", list(lr_factors), KINDS)
    return {kind: number(f"optimizer.lr_factors.{kind}", lr_factors[kind], "(0, inf)") for kind in kinds}


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


class StepwiseLR(LambdaLR):
    """Rates of each epoch, to which the first `warmup_steps` steps of the optimizer rise."""

    warmup_steps = 0

    def warm_up(self, step: int) -> None:
        """Give the optimizer the rates of step `step`, counted from 0; to be called before each."""
        if step <= self.warmup_steps > 0:
            for group, lr in zip(self.optimizer.param_groups, self.get_last_lr(), strict=True):
                group["lr"] = lr * min(1.0, (step + 1) / self.warmup_steps)


@dataclass(frozen=True)
class CosineSchedule:
    """Linear warm-up, cosine to a floor, constant cool-down; one value per epoch, counted from 0.

    Args:
        epochs: of the whole run.
        warmup: epochs of the linear rise from `warmup_lr`.
        warmup_lr: the learning rate of epoch 0 when there is a warm-up; at most the optimizer's.
        min_lr: the floor; at most the optimizer's learning rate.
        cooldown: epochs at the floor, at the end.
        after_warmup: the cosine begins where the warm-up ends, as in MAE; else it spans epochs 0 to
            `epochs - cooldown`, warm-up included, as in timm and PyTorch's annealing.
        per_batch: the rate changes with every optimizer step, the epoch counted in fractions; see `rates.PerBatch`.
        warmup_steps: in the first so many steps, the n-th of them, the rate is n / warmup_steps of its epoch's.
        start: the epoch of the schedule with which the run begins, where it goes on from another run's weights.

    Raises:
        UserError: a number outside its range, or no epoch left between warm-up and cool-down.
    """

    epochs: int
    warmup: int = 0
    warmup_lr: float = 0.0
    min_lr: float = 0.0
    cooldown: int = 0
    after_warmup: bool = False
    per_batch: bool = False
    warmup_steps: int = 0
    start: int = 0

    def __post_init__(self) -> None:
        count("schedule.epochs", self.epochs)
        count("schedule.warmup", self.warmup, 0)
        count("schedule.cooldown", self.cooldown, 0)
        count("schedule.warmup_steps", self.warmup_steps, 0)
        count("schedule.start", self.start, 0)
        number("schedule.warmup_lr", self.warmup_lr, "[0, inf)")
        number("schedule.min_lr", self.min_lr, "[0, inf)")
        flag("schedule.after_warmup", self.after_warmup)
        flag("schedule.per_batch", self.per_batch)
        if self.per_batch and self.warmup_steps:
            raise UserError(f"schedule.warmup_steps={self.warmup_steps}: set that, or schedule.per_batch, not both.")
        if self.warmup + self.cooldown >= self.epochs:
            raise UserError(
                f"schedule.warmup={self.warmup}, schedule.cooldown={self.cooldown}: together they must leave at least "
                f"one of schedule.epochs={self.epochs}."
            )

    def lr(self, epoch: float, peak: float) -> float:
        """The learning rate of `epoch` of the run for an optimizer whose own is `peak`."""
        epoch += self.start
        if epoch < self.warmup:
            return self.warmup_lr + (peak - self.warmup_lr) * epoch / self.warmup
        begin, end = self.warmup if self.after_warmup else 0, self.epochs - self.cooldown
        if epoch >= end:
            return self.min_lr
        part = (epoch - begin) / (end - begin)
        return self.min_lr + (peak - self.min_lr) * (1 + math.cos(math.pi * part)) / 2

    def __call__(self, optimizer: Optimizer) -> LambdaLR:
        _check_rate("min_lr", self.min_lr, optimizer)
        _check_rate("warmup_lr", self.warmup_lr if self.warmup else 0.0, optimizer)
        factors: list[Callable[[int], float]] = [
            partial(self._factor, float(group["lr"]), group.get("scheduled", True)) for group in optimizer.param_groups
        ]
        scheduler = StepwiseLR(optimizer, factors)
        scheduler.warmup_steps = self.warmup_steps
        return scheduler

    def _factor(self, peak: float, scheduled: bool, epoch: float) -> float:
        return self.lr(epoch, peak) / peak if scheduled else 1.0


@dataclass(frozen=True)
class PiecewiseSchedule:
    """The optimizer's learning rate, then from each milestone on another one.

    Where parameter groups have rates of their own, all are changed by the same factor.

    Args:
        milestones: epochs from which on the rates hold, counted from 0, ascending.
        rates: one for each milestone, at most the optimizer's.

    Raises:
        UserError: milestones that do not ascend, or not as many rates.
    """

    milestones: Sequence[int]
    rates: Sequence[float]

    def __post_init__(self) -> None:
        milestones = counts("schedule.milestones", self.milestones)
        if any(later <= earlier for earlier, later in pairwise(milestones)):
            raise UserError(f"schedule.milestones={list(milestones)}: must ascend.")
        numbers("schedule.rates", self.rates, "[0, inf)", length=len(milestones))

    def __call__(self, optimizer: Optimizer) -> LambdaLR:
        peak = float(optimizer.defaults["lr"])
        for rate in self.rates:
            _check_rate("rates", rate, optimizer)
        factors = [1.0, *(rate / peak for rate in self.rates)]
        return LambdaLR(optimizer, lambda epoch: factors[bisect_right(self.milestones, epoch)])


def checked(schedule: Callable[[Optimizer], LRScheduler]) -> Callable[[Optimizer], LRScheduler]:
    """`schedule`, which refuses what PyTorch's own cosine annealing takes in silence.

    Raises:
        UserError: the built function, for a period or a floor that is none.
    """

    def build(optimizer: Optimizer) -> LRScheduler:
        scheduler = schedule(optimizer)
        if not isinstance(scheduler, LambdaLR) and not all(g.get("scheduled", True) for g in optimizer.param_groups):
            raise UserError("optimizer=sgd_adam: keeps the rate of its Adam only under schedule=cosine or constant.")
        if isinstance(scheduler, CosineAnnealingLR):
            count("schedule.T_max", scheduler.T_max)
            _check_rate("eta_min", scheduler.eta_min, optimizer)
        return scheduler

    return build


def _check_rate(key: str, value: float, optimizer: Optimizer) -> None:
    """Refuse a learning rate of the schedule above the optimizer's own."""
    peak = float(optimizer.defaults["lr"])
    number(f"schedule.{key}", value, f"[0, {peak}]", hint=f"optimizer.lr={peak} is the highest learning rate.")
