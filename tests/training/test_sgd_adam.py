"""Two optimizers in one step: PyTorch's own, each on what it is given."""

import copy

import pytest
import torch
from torch import nn

from snnbench.errors import UserError
from snnbench.neurons import PLIF
from snnbench.training.groups import check_optimizer, parameter_groups
from snnbench.training.optim import ConstantSchedule, CosineSchedule, PiecewiseSchedule, StepwiseLR, checked
from snnbench.training.sgd_adam import SGDAdam


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Unflatten(0, (2, 4)), PLIF(), nn.Linear(5, 2))


def marked(net):
    groups = parameter_groups(net, 0.1, 0.02, ["weight"], adam=["neuron"], adam_lr=0.01)
    return SGDAdam(groups, lr=0.1, momentum=0.9, weight_decay=0.02)


def train(net, optimizers, schedulers, steps):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        loss = (net(3 * torch.randn(8, 3, generator=generator)) - 1).square().sum()
        net.zero_grad()
        loss.backward()
        for one in (*optimizers, *schedulers):
            one.step()


def test_it_is_sgd_under_the_schedule_and_adam_at_its_own_rate():
    ours, theirs = network(), network()
    optimizer = marked(ours)
    train(ours, [optimizer], [checked(CosineSchedule(epochs=6))(optimizer)], 6)
    weights = [theirs[0].weight, theirs[4].weight]
    plain = [theirs[0].bias, theirs[4].bias, *theirs[1].parameters()]
    sgd = torch.optim.SGD([{"params": weights, "weight_decay": 0.02}, {"params": plain}], lr=0.1, momentum=0.9)
    adam = torch.optim.Adam([theirs[3].w], lr=0.01)
    train(theirs, [sgd, adam], [torch.optim.lr_scheduler.CosineAnnealingLR(sgd, 6)], 6)
    assert not torch.equal(ours[3].w, network()[3].w)
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7, msg=name)


def test_it_goes_on_from_a_checkpoint_as_if_nothing_had_been():
    whole, parts = network(), network()
    optimizer = marked(whole)
    train(whole, [optimizer], [], 3)
    parts.load_state_dict(copy.deepcopy(whole.state_dict()))
    resumed = marked(parts)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for net, one in ((whole, optimizer), (parts, resumed)):
        train(net, [one], [], 3)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))


@pytest.mark.parametrize(
    "schedule",
    [
        PiecewiseSchedule(milestones=[1], rates=[0.05]),
        CosineSchedule(epochs=3),
        CosineSchedule(epochs=3, warmup_steps=4),
    ],
)
def test_no_schedule_changes_adams_rate(schedule):
    optimizer = marked(network())
    scheduler, seen = checked(schedule)(optimizer), []
    for step in range(3):
        if isinstance(scheduler, StepwiseLR):
            scheduler.warm_up(step)
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    assert {row[-1] for row in seen} == {0.01}
    assert len({row[0] for row in seen}) > 1


def test_adams_rate_has_the_factor_of_its_kind():
    groups = parameter_groups(network(), 0.1, 0.0, [], {"neuron": 0.5}, adam=["neuron", "norm"], adam_lr=0.01)
    assert [group.get("lr") for group in groups] == [None, 0.01, 0.005]


def test_another_optimizer_has_no_adam_within():
    groups = parameter_groups(network(), 0.1, 0.0, [], adam=["neuron"])
    with pytest.raises(UserError, match=r"optimizer\.adam: has an effect on optimizer=sgd_adam alone"):
        check_optimizer(torch.optim.SGD(groups, lr=0.1))


def test_a_schedule_that_would_change_adams_rate_is_refused():
    checked(ConstantSchedule())(marked(network()))
    with pytest.raises(UserError, match="optimizer=sgd_adam: keeps the rate of its Adam only under"):
        checked(lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 2))(marked(network()))


@pytest.mark.parametrize(
    ("options", "message"), [({"adam": ["neurons"]}, "optimizer.adam="), ({"adam_lr": 0.0}, "adam_lr")]
)
def test_bad_groupings_are_named(options, message):
    with pytest.raises(UserError, match=message):
        parameter_groups(network(), 0.1, 0.0, [], **options)
