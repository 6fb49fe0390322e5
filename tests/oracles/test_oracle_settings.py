"""Each system's training against the authors' own: optimizer, parameter groups, learning rates, and single settings."""

from collections import Counter, defaultdict

import pytest
from omegaconf import DictConfig
from torch.optim import Optimizer

from snnbench.training import build
from tests.oracles.leaves import leaf_kinds
from tests.oracles.oracle import SYSTEMS, load, report

pytestmark = pytest.mark.parametrize("system", SYSTEMS)


def build_optimizer(cfg: DictConfig) -> tuple[Optimizer, dict[int, str]]:
    """The optimizer of the reduced network, and each parameter's kind by its id: conv.weight, neuron.w, ..."""
    network = build.build_network(cfg)
    kinds = {
        id(p): f"{kind}.{name.removeprefix('bn.')}"
        for _, kind, module in leaf_kinds(network)
        for name, p in module.named_parameters()
    }
    return build.build_optimizer(cfg)(network), kinds


def test_optimizer(system):
    """Its class, its options, and which kinds of parameters have which learning rate and weight decay."""
    oracle = load(system)
    optimizer, kinds = build_optimizer(oracle.compose_reduced())
    assert type(optimizer).__name__ == oracle.recipe["optimizer"]
    options = {key: optimizer.defaults[key] for key in oracle.recipe["options"]}
    differences = [
        f"{key}: {ours} != {oracle.recipe['options'][key]}"
        for key, ours in options.items()
        if (list(ours) if isinstance(ours, tuple) else ours) != oracle.recipe["options"][key]
    ]
    ours, official = defaultdict(Counter), defaultdict(Counter)
    for group in optimizer.param_groups:
        ours[round(group["lr"], 12), group["weight_decay"]].update(kinds[id(p)] for p in group["params"])
    for group in oracle.recipe["groups"]:
        used = {kind: n for kind, n in group["counts"].items() if "unused" not in kind}
        official[group["lr"], group["weight_decay"]].update(used)
    for lr, decay in ours.keys() | official.keys():
        extra, missing = ours[lr, decay] - official[lr, decay], official[lr, decay] - ours[lr, decay]
        differences += [f"only ours has {n} {kind} at rate {lr:g}, decay {decay:g}" for kind, n in extra.items()]
        differences += [f"only theirs has {n} {kind} at rate {lr:g}, decay {decay:g}" for kind, n in missing.items()]
    report(differences)


def test_learning_rates(system):
    """The rate of every kind of parameter in every epoch, to 1e-9 of its first."""
    oracle = load(system)
    cfg = oracle.compose_reduced()
    assert cfg.epochs == oracle.recipe["epochs"]
    optimizer, kinds = build_optimizer(cfg)
    scheduler = build.make(cfg, "schedule")(optimizer)
    ours: list[list[float]] = []
    for _ in range(cfg.epochs):
        ours.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    official = {
        kind: oracle.recipe["lr"][group["lr_list"]] for group in oracle.recipe["groups"] for kind in group["counts"]
    }
    differences = []
    for n, group in enumerate(optimizer.param_groups):
        for kind in sorted({kinds[id(p)] for p in group["params"]}):
            rates = [epoch[n] for epoch in ours]
            differences += [
                f"{kind}, epoch {epoch}: {a:.12g} != {b:.12g}"
                for epoch, (a, b) in enumerate(zip(rates, official[kind], strict=True))
                if abs(a - b) > 1e-9 * max(official[kind])
            ]
    report(differences)


def test_settings(system):
    """Epochs, batch size, precision and the like, as keys of the config."""
    differing = load(system).other_settings()
    report([f"{key}: {ours} != {official}" for key, (ours, official) in differing.items()])


def test_every_row_of_the_system_is_the_one_that_was_compared(system):
    """But for T and the number of classes, its rows differ in nothing that a network or an optimizer is built from."""
    oracle = load(system)
    for row in oracle.rows:
        assert oracle.parts(row) == oracle.parts(oracle.row), row
