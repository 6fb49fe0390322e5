import math
import re

import pytest
import torch
from torch import nn

from snnbench.errors import UserError
from snnbench.neurons import GLIF, KLIF
from snnbench.training.groups import parameter_groups, parameters_with_kinds
from snnbench.training.optim import CosineSchedule


def small_network():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), KLIF(), nn.Linear(4, 2))


def test_each_parameter_is_in_one_group_and_decays_as_asked():
    network = small_network()
    with_decay, without = parameter_groups(network, 0.1, 0.01, ["weight"])
    assert with_decay["weight_decay"] == 0.01
    assert without["weight_decay"] == 0.0
    assert {id(p) for p in with_decay["params"]} == {id(network[0].weight), id(network[3].weight)}
    assert len(with_decay["params"]) + len(without["params"]) == len(list(network.parameters()))


def test_neuron_coefficients_can_be_the_only_ones_that_decay():
    network = small_network()
    with_decay, _ = parameter_groups(network, 0.1, 0.01, ["neuron"])
    assert [id(p) for p in with_decay["params"]] == [id(network[2].k)]


def test_frozen_parameters_are_left_out_and_empty_groups_vanish():
    network = small_network()
    network[0].requires_grad_(False)
    (group,) = parameter_groups(network, 0.1, 0.01, ["weight", "bias", "norm", "neuron"])
    assert len(group["params"]) == 5


def test_unknown_kind_is_named():
    with pytest.raises(UserError, match=r"optimizer.decay='weights': unknown. Did you mean 'weight'\?"):
        parameter_groups(small_network(), 0.1, 0.01, ["weights"])


def test_factors_make_groups_of_their_own_behind_those_of_the_plain_rate():
    network = small_network()
    groups = parameter_groups(network, 0.2, 0.01, ["weight", "norm"], {"norm": 2, "neuron": 0.5})
    found = [(group.get("lr"), group["weight_decay"], len(group["params"])) for group in groups]
    assert found == [(None, 0.01, 2), (None, 0.0, 2), (0.4, 0.01, 2), (0.1, 0.0, 1)]
    assert [id(p) for p in groups[3]["params"]] == [id(network[2].k)]


@pytest.mark.parametrize("decay", [["neuron"], ["gate"]])
def test_gates_are_of_the_neuron_and_may_have_a_rate_of_their_own(decay):
    neuron = GLIF(T=2, channels=3)
    groups = parameter_groups(neuron, 0.1, 0.01, decay, {"gate": 0.1})
    gates = {id(p) for p in (neuron.alpha, neuron.beta, neuron.gamma)}
    assert {id(p) for p in groups[-1]["params"]} == gates
    assert groups[-1]["lr"] == pytest.approx(0.01)
    assert groups[-1]["weight_decay"] == 0.01
    assert len(groups) == 2
    assert groups[0]["weight_decay"] == (0.01 if decay == ["neuron"] else 0.0)
    (whole,) = parameter_groups(neuron, 0.1, 0.01, ["neuron"], {"neuron": 2})
    assert len(whole["params"]) == 8


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"gates": 0.1}, "lr_factors='gates': unknown. Did you mean 'gate'?"),
        ({"neuron": 0}, "lr_factors.neuron=0: must be a number in (0, inf)"),
        ({"neuron": "small"}, "lr_factors.neuron='small'"),
        ({"neuron": True}, "lr_factors.neuron=true"),
        ({"neuron": math.inf}, "lr_factors.neuron=inf"),
        ([0.1], "give factors by kind"),
    ],
)
def test_factors_that_cannot_be_meant_are_refused(factors, message):
    with pytest.raises(UserError, match=re.escape(message)):
        parameter_groups(small_network(), 0.1, 0.0, [], factors)


def test_every_group_falls_from_its_own_rate_to_the_same_floor():
    slow, fast = (nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = torch.optim.SGD([{"params": [fast]}, {"params": [slow], "lr": 0.01}], lr=0.1)
    annealing = torch.optim.lr_scheduler.CosineAnnealingLR(
        torch.optim.SGD([{"params": [fast]}, {"params": [slow], "lr": 0.01}], lr=0.1), T_max=9, eta_min=1e-3
    )
    scheduler = CosineSchedule(epochs=9, min_lr=1e-3)(optimizer)
    for _ in range(9):
        assert scheduler.get_last_lr() == pytest.approx(annealing.get_last_lr(), rel=1e-9)
        optimizer.step()
        scheduler.step()
        annealing.optimizer.step()
        annealing.step()


@pytest.mark.parametrize("decay", ["weight", None, 1, ["weight", None]])
def test_what_is_no_list_of_kinds_is_refused(decay):
    with pytest.raises(UserError, match=r"optimizer.decay="):
        parameter_groups(small_network(), 0.1, 0.01, decay)


@pytest.mark.parametrize("decay", [-1e-4, math.nan, math.inf, "1e-4"])
def test_a_decay_that_is_none_is_refused(decay):
    with pytest.raises(UserError, match=r"optimizer.weight_decay=.*: must be a number in \[0, inf\)"):
        parameter_groups(small_network(), 0.1, decay, ["weight"])


class Rooted(KLIF):
    """A neuron whose parameters lie in containers, in a layer, in a norm, and one of them a gate."""

    gates = ("chosen",)

    def __init__(self):
        super().__init__()
        self.table = nn.ParameterDict({"bias": torch.ones(1), "chosen": torch.ones(1)})
        self.rows = nn.ParameterList([torch.ones(1), torch.ones(1)])
        self.layer = nn.Sequential(nn.Linear(2, 2), nn.Identity())
        self.norm = nn.BatchNorm1d(2)


class Doubled(nn.Module):
    """A parametrization with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.ones(()))

    def forward(self, value):
        return value * self.bias * 2


def kinds_by_name(network):
    names = {parameter: name for name, parameter in network.named_parameters()}
    return {names[parameter]: "/".join(kinds) for parameter, kinds in parameters_with_kinds(network)}


def test_what_lies_in_a_neuron_is_of_the_neuron():
    found = kinds_by_name(nn.ModuleDict({"bias": Rooted()}))
    gates = {name for name, kinds in found.items() if kinds == "gate/neuron"}
    norms = {name for name, kinds in found.items() if kinds == "norm"}
    assert gates == {"bias.table.chosen"}
    assert norms == {"bias.norm.weight", "bias.norm.bias"}
    assert {kinds for name, kinds in found.items() if name not in gates | norms} == {"neuron"}
    assert len(found) == 9


def test_a_parametrized_parameter_stays_what_it_was():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), KLIF(), GLIF(T=2, channels=4), nn.RMSNorm(4))
    for module, name in ((network[0], "weight"), (network[0], "bias"), (network[1], "weight"), (network[2], "k")):
        torch.nn.utils.parametrize.register_parametrization(module, name, Doubled())
    torch.nn.utils.parametrizations.weight_norm(network[0], "weight")
    torch.nn.utils.parametrize.register_parametrization(network[3], "alpha", Doubled())
    found = kinds_by_name(network)
    of = {}
    for name, kinds in found.items():
        of.setdefault(kinds, set()).add(name.split(".parametrizations")[0].split(".")[0])
    assert of == {"weight": {"0"}, "bias": {"0"}, "norm": {"1", "4"}, "neuron": {"2", "3"}, "gate/neuron": {"3"}}
    assert [kinds for name, kinds in found.items() if name.startswith("3.parametrizations.alpha")] == [
        "gate/neuron"
    ] * 2
    assert [kinds for name, kinds in found.items() if name.startswith("0.parametrizations.bias")] == ["bias"] * 2


def test_the_order_is_that_of_the_modules():
    network = small_network()
    network.append(network[2])
    assert [id(p) for p, _ in parameters_with_kinds(network)] == [id(p) for p in network.parameters()]
