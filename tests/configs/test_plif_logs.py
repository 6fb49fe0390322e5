"""PLIF's rows against what its logs print: the network, the timesteps, and the iterations of an epoch."""

from typing import NamedTuple

import pytest
import torch
from omegaconf import OmegaConf

from snnbench.backbones.heads import Dropout
from snnbench.data.events.gesture import IBMGesture
from snnbench.data.events.nmnist import NMNIST
from snnbench.data.sampler import TrainBatches
from snnbench.data.splits import stratified_split
from snnbench.neurons import LIF
from snnbench.training import build
from tests.configs.test_rows import ROWS, compose


class Logged(NamedTuple):
    """Linear layers (in, out), probabilities of the dropouts, T; iterations of an epoch with a validation set."""

    linear: list[tuple[int, int]]
    dropout: list[float]
    T: int
    iterations: int
    per_class: list[int]


LOGS = {  # logs/B/terminal_out; with all training samples only Gesture's iterations are known: 58
    "mnist": Logged([(6272, 2048), (2048, 100)], [0.5, 0.5], 8, 3187, NMNIST.per_class["Train"]),
    "fashion_mnist": Logged([(6272, 2048), (2048, 100)], [0.5, 0.5], 8, 3187, [6000] * 10),
    "cifar10": Logged([(16384, 2048), (2048, 100)], [0.5], 8, 2656, [5000] * 10),
    "nmnist": Logged([(8192, 2048), (2048, 100)], [0.5, 0.5], 20, 3187, NMNIST.per_class["Train"]),
    "cifar10dvs": Logged([(8192, 2048), (2048, 100)], [0.5, 0.5], 20, 478, [900] * 10),
    "dvs128gesture": Logged([(2048, 512), (512, 110)], [0.5, 0.5], 20, 50, [78] * 7 + [156] + [78] * 3),
}
PLIF = [row for row in ROWS if row.startswith("plif/")]


def iterations(cfg, samples: int) -> int:
    return len(TrainBatches(samples, cfg.batch_size, seed=0, drop_last=cfg.data.drop_last))


@pytest.mark.parametrize("row", PLIF)
def test_network_is_the_printed_one(row):
    cfg = compose(row)
    logged = LOGS[cfg.data.name]
    with torch.device("meta"):
        network = build.make(cfg, "backbone", neuron=LIF, norm=build.make(cfg, "norm"))
    linear = [(m.in_features, m.out_features) for m in network.modules() if isinstance(m, torch.nn.Linear)]
    assert linear == logged.linear
    dropouts = [m for m in network.modules() if isinstance(m, Dropout)]
    assert [m.p for m in dropouts if m.p > 0] == logged.dropout
    assert not any(m.per_step for m in dropouts)
    assert cfg.norm.count_repeats == (cfg.data.name not in ("mnist", "fashion_mnist", "cifar10"))


@pytest.mark.parametrize("row", [row for row in PLIF if row.endswith("_val")])
def test_validation_run_is_the_logged_one(row):
    cfg = compose(row)
    logged = LOGS[cfg.data.name]
    assert cfg.T == logged.T
    labels = torch.repeat_interleave(torch.arange(len(logged.per_class)), torch.tensor(logged.per_class))
    train, val = stratified_split(labels, cfg.data.val_fraction, cfg.seed, cfg.data.val_split)
    assert iterations(cfg, len(train)) == logged.iterations
    assert val.max() == len(labels) - 1
    assert val.min() >= 0.84 * logged.per_class[0]


@pytest.mark.parametrize("row", [row for row in PLIF if "gesture" in row])
def test_gesture_is_trained_on_936_samples(row):
    cfg = compose(row)
    assert cfg.data.split == "first78"
    assert "first78" in IBMGesture.splits
    assert OmegaConf.select(cfg, "data.source") == "ibm"
    if not cfg.data.val_fraction:
        assert iterations(cfg, 936) == 58
