"""Learning rates of each epoch, of the first steps, and of each batch."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

from snnbench.check import count, counts, flag, number, numbers
from snnbench.errors import UserError


@dataclass(frozen=True)
class ConstantSchedule:
    """The optimizer's learning rate throughout."""

    def __call__(self, optimizer: Optimizer) -> LambdaLR:
        return LambdaLR(optimizer, lambda epoch: 1.0)


class StepwiseLR(LambdaLR):
    """Rates of each epoch, to which those of scheduled groups rise in the optimizer's first `warmup_steps` steps."""

    warmup_steps = 0

    def warm_up(self, step: int) -> None:
        """Give the optimizer the rates of step `step`, counted from 0; to be called before each."""
        if step <= self.warmup_steps > 0:
            for group, lr in zip(self.optimizer.param_groups, self.get_last_lr(), strict=True):
                group["lr"] = lr * min(1.0, (step + 1) / self.warmup_steps) if group.get("scheduled", True) else lr


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
        if self.start >= self.epochs:
            raise UserError(f"schedule.start={self.start}: must lie before schedule.epochs={self.epochs} are over.")

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
        scheduler = StepwiseLR(optimizer, _factors(optimizer, lambda peak: partial(self._factor, peak)))
        scheduler.warmup_steps = self.warmup_steps
        return scheduler

    def _factor(self, peak: float, epoch: float) -> float:
        return self.lr(epoch, peak) / peak


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
        steps = [1.0, *(rate / peak for rate in self.rates)]
        return LambdaLR(
            optimizer, _factors(optimizer, lambda peak: lambda at: steps[bisect_right(self.milestones, at)])
        )


def _factors(optimizer: Optimizer, of: Callable[[float], Callable[[int], float]]) -> list[Callable[[int], float]]:
    """What multiplies each group's rate in an epoch, as `of` has it for that rate; 1 where none is scheduled."""
    return [
        of(float(group["lr"])) if group.get("scheduled", True) else lambda _: 1.0 for group in optimizer.param_groups
    ]


def checked(schedule: Callable[[Optimizer], LRScheduler]) -> Callable[[Optimizer], LRScheduler]:
    """`schedule`, which refuses what PyTorch's own cosine annealing takes in silence.

    Raises:
        UserError: the built function, for a period or a floor that is none.
    """

    def build(optimizer: Optimizer) -> LRScheduler:
        scheduler = schedule(optimizer)
        if not isinstance(scheduler, LambdaLR) and not all(g.get("scheduled", True) for g in optimizer.param_groups):
            raise UserError(
                "optimizer=sgd_adam: keeps the rate of its Adam only under schedule=cosine, piecewise or constant."
            )
        if isinstance(scheduler, CosineAnnealingLR):
            count("schedule.T_max", scheduler.T_max)
            _check_rate("eta_min", scheduler.eta_min, optimizer)
        return scheduler

    return build


def _check_rate(key: str, value: float, optimizer: Optimizer) -> None:
    """Refuse a learning rate of the schedule above the optimizer's own."""
    peak = float(optimizer.defaults["lr"])
    number(f"schedule.{key}", value, f"[0, {peak}]", hint=f"optimizer.lr={peak} is the highest learning rate.")
