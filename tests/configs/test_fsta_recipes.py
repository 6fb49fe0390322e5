"""DA-LIF's rows against FSTA-SNN's files, given to timm as its script does."""

import pytest
import timm.optim
import torch

from snnbench.neurons import SpikingNeuron
from snnbench.training import build
from tests.configs.test_rows import ROWS, compose

SGD = {"opt": "sgd", "momentum": 0.9}
FILES = {  # config/<data>.yml: what create_optimizer_v2 is given, label smoothing, mixed precision, epochs
    "cifar10": ({**SGD, "lr": 0.1, "weight_decay": 0.0, "eps": 1e-8}, 0.1, False, 610),
    "cifar100": ({**SGD, "lr": 0.1, "weight_decay": 1e-4}, 0.1, False, 610),
    "cifar10dvs": ({**SGD, "lr": 0.02, "weight_decay": 1e-4}, 0.0, True, 510),
    "dvs128gesture": ({"opt": "lamb", "lr": 5e-3, "weight_decay": 0.02, "eps": 1e-8}, 0.1, True, 210),
    "imagenet": ({"opt": "lamb", "lr": 1.5e-3, "weight_decay": 0.01}, 0.1, True, 130),
}
OPTIONS = {"momentum", "nesterov", "dampening", "betas", "eps", "max_grad_norm", "trust_clip", "grad_averaging"}


def decays(optimizer: torch.optim.Optimizer) -> dict[int, float]:
    return {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}


@pytest.mark.parametrize("row", [row for row in ROWS if row.startswith("dalif/")])
def test_recipe_is_the_one_of_fstas_file(row):
    cfg = compose(row)
    given, smoothing, mixed, epochs = FILES[cfg.data.name]
    cfg.backbone.width = 8
    network = build.build_network(cfg)
    ours, theirs = build.build_optimizer(cfg)(network), timm.optim.create_optimizer_v2(network, **given)
    assert type(ours) is type(theirs)
    for key in OPTIONS & theirs.defaults.keys():
        value = ours.defaults[key]
        assert (tuple(value) if isinstance(value, list) else value) == theirs.defaults[key], key
    neurons = {id(p) for m in network.modules() if isinstance(m, SpikingNeuron) for p in m.parameters()}
    found, expected = decays(ours), decays(theirs)
    assert found.keys() == expected.keys()
    assert all(found[key] == expected[key] for key in found.keys() - neurons)
    # the precursor keeps alpha and beta in one tensor of shape [2, 1], which timm's rule takes for a weight
    assert {found[key] for key in neurons} == {given["weight_decay"]}
    assert {group["lr"] for group in ours.param_groups} == {given["lr"]}
    assert cfg.loss.label_smoothing == smoothing
    assert (cfg.trainer.precision == "16-mixed") == mixed
    assert cfg.epochs == epochs
