"""Schedules of the learning rate, against PyTorch's and timm's; what they cannot be is refused."""

import functools
import math

import pytest
import torch
from torch import nn

from snnbench.check import shown
from snnbench.errors import UserError
from snnbench.training.groups import check_optimizer
from snnbench.training.optim import ConstantSchedule, CosineSchedule, PiecewiseSchedule, checked


def rates(schedule, epochs, lr=0.1):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = schedule(optimizer)
    values = []
    for _ in range(epochs):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


def test_cosine_equals_pytorchs_annealing():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=17)
    expected = []
    for _ in range(17):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates(CosineSchedule(epochs=17), 17) == pytest.approx(expected, rel=1e-9)


def test_warm_up_floor_and_cool_down_equal_timms():
    from timm.scheduler import CosineLRScheduler

    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    timms = CosineLRScheduler(optimizer, t_initial=20, lr_min=1e-3, warmup_t=4, warmup_lr_init=1e-5)
    expected = [timms._get_lr(epoch)[0] for epoch in range(23)]
    ours = rates(CosineSchedule(epochs=23, warmup=4, warmup_lr=1e-5, min_lr=1e-3, cooldown=3), 23)
    assert ours == pytest.approx(expected, rel=1e-9)


def test_a_cosine_may_begin_where_the_warm_up_ends():
    found = rates(CosineSchedule(epochs=6, warmup=2, min_lr=0.02, after_warmup=True), 6)
    assert found == pytest.approx([0.0, 0.05, 0.1, 0.1 - 0.08 * 0.1464466094, 0.06, 0.02 + 0.08 * 0.1464466094])


def test_the_first_steps_rise_to_the_rate_of_their_epoch():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    scheduler, seen = CosineSchedule(epochs=2, warmup_steps=4)(optimizer), []
    for step in range(6):
        scheduler.warm_up(step)
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step == 2:  # an epoch of three steps
            scheduler.step()
    assert seen == pytest.approx([0.1, 0.2, 0.3, 0.2, 0.2, 0.2])


def test_rates_of_batches_and_of_first_steps_are_not_both_set():
    with pytest.raises(UserError, match=r"schedule\.warmup_steps=4: set that, or schedule.per_batch, not both"):
        CosineSchedule(epochs=2, warmup_steps=4, per_batch=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"T_max": 0}, "schedule.T_max=0: must be a whole number"),
        ({"T_max": 1.5}, "schedule.T_max=1.5"),
        ({"T_max": 4, "eta_min": -1}, "schedule.eta_min=-1: must be a number in"),
        ({"T_max": 4, "eta_min": 0.2}, r"schedule.eta_min=0.2: must be a number in \[0, 0.1\]"),
    ],
)
def test_what_pytorchs_annealing_takes_in_silence_is_named(options, message):
    schedule = checked(functools.partial(torch.optim.lr_scheduler.CosineAnnealingLR, **options))
    with pytest.raises(UserError, match=message):
        rates(schedule, 5)
    assert rates(checked(functools.partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=4)), 5)[4] < 1e-9


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (torch.optim.SGD, {"momentum": math.nan}, "optimizer.momentum=nan: must be a finite number"),
        (torch.optim.SGD, {"dampening": "x"}, "optimizer.dampening='x'"),
        (torch.optim.SGD, {"nesterov": 0}, "optimizer.nesterov=0: must be true or false"),
        (torch.optim.AdamW, {"eps": math.inf}, "optimizer.eps=inf"),
        (torch.optim.AdamW, {"lr": math.inf}, "optimizer.lr=inf"),
        (torch.optim.NAdam, {"betas": (0.9, 0.99, 0.999)}, r"optimizer.betas=\(0.9, 0.99, 0.999\): .* of length 2"),
    ],
)
def test_what_pytorch_takes_in_silence_is_named(kind, options, message):
    with pytest.raises(UserError, match=message):
        check_optimizer(kind([nn.Parameter(torch.zeros(1))], **{"lr": 0.1, **options}))
    check_optimizer(kind([nn.Parameter(torch.zeros(1))], lr=0.1))


def test_constant_stays():
    assert rates(ConstantSchedule(), 3) == [0.1, 0.1, 0.1]


def test_a_schedule_may_begin_in_its_midst():
    whole = rates(CosineSchedule(epochs=9, warmup=2, min_lr=0.02, cooldown=2), 9)
    assert rates(CosineSchedule(epochs=9, warmup=2, min_lr=0.02, cooldown=2, start=3), 6) == whole[3:]


def test_a_schedule_does_not_begin_where_it_is_over():
    with pytest.raises(UserError, match=r"schedule\.start=5: must lie before schedule.epochs=5 are over"):
        CosineSchedule(epochs=5, start=5)


@pytest.mark.parametrize("bad", [{"warmup": 5}, {"cooldown": 5}, {"warmup": 2, "cooldown": 3}])
def test_a_schedule_that_leaves_no_epoch_is_refused(bad):
    with pytest.raises(UserError, match=r"together they must leave at least one of schedule.epochs=5"):
        CosineSchedule(epochs=5, **bad)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", 0),
        ("epochs", math.inf),
        ("epochs", 4.5),
        ("warmup", -1),
        ("warmup", 1.5),
        ("cooldown", 0.5),
        ("cooldown", True),
        ("min_lr", -0.01),
        ("min_lr", math.nan),
        ("warmup_lr", -1e-5),
        ("warmup_lr", math.inf),
        ("after_warmup", 1),
        ("start", -1),
        ("per_batch", "yes"),
    ],
)
def test_a_number_of_the_schedule_outside_its_range_is_named(key, value):
    with pytest.raises(UserError, match=rf"^schedule.{key}={shown(value)}: must be (a|true) "):
        CosineSchedule(**{"epochs": 5, key: value})


def test_no_learning_rate_of_the_schedule_is_above_the_optimizers():
    with pytest.raises(UserError, match=r"^schedule.min_lr=0.2: must be a number in \[0, 0.1\]. optimizer.lr=0.1"):
        rates(CosineSchedule(epochs=5, min_lr=0.2), 5)
    with pytest.raises(UserError, match=r"^schedule.warmup_lr=0.2"):
        rates(CosineSchedule(epochs=5, warmup=1, warmup_lr=0.2), 5)
    assert rates(CosineSchedule(epochs=5, warmup_lr=0.2), 5)[0] == 0.1  # there is no warm-up
    assert rates(CosineSchedule(epochs=5, min_lr=0.1), 5) == pytest.approx([0.1] * 5)


def test_rates_hold_from_their_milestones_on():
    found = rates(PiecewiseSchedule(milestones=[2, 3], rates=[0.05, 0.002]), 6)
    assert found == pytest.approx([0.1, 0.1, 0.05, 0.002, 0.002, 0.002])


def test_groups_of_other_rates_fall_by_the_same_factor():
    groups = [{"params": [nn.Parameter(torch.zeros(1))]}, {"params": [nn.Parameter(torch.zeros(1))], "lr": 0.01}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    scheduler = PiecewiseSchedule(milestones=[1], rates=[0.05])(optimizer)
    optimizer.step()
    scheduler.step()
    assert scheduler.get_last_lr() == pytest.approx([0.05, 0.005])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"milestones": [3, 3], "rates": [0.1, 0.1]}, r"schedule.milestones=\[3, 3\]: must ascend"),
        ({"milestones": [0], "rates": [0.1]}, r"schedule.milestones=\[0\]"),
        ({"milestones": [2, 3], "rates": [0.1]}, r"schedule.rates=\[0.1\]: must be a list .* of length 2"),
        ({"milestones": [2], "rates": [0.2]}, r"schedule.rates=0.2: must be a number in \[0, 0.1\]"),
    ],
)
def test_milestones_and_rates_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        rates(PiecewiseSchedule(**options), 2)
