"""Numbers of the authors' own code, one JSON file per system, and the rows that they stand for.

README.md says what the files hold and how their weights and inputs are rebuilt.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from tests.rows import compose

NUMBERS = Path(__file__).parent / "numbers"
SYSTEMS = sorted(path.stem for path in NUMBERS.glob("*.json"))
ALIKE = {  # the same blocks as a shallower one's, or the same network on other data
    *(f"sew_{kind}{depth}" for kind in ("resnet", "spiking_resnet") for depth in (34, 101, 152)),
    *("psn_sew_resnet34", "sakd_resnet34_ann", "sakd_resnet34_lif", "fsta_imagenet_resnet34"),
    *("dalif_imagenet_resnet34", "dalif_dvs128gesture_resnet20", "clif_dvs128gesture_vgg11"),
    *("sltt_dvs128gesture_vgg11", "sdt_imagenet", "spikingformer_imagenet"),
    *("tet_sew_resnet34", "tdbn_cifar10dvs_resnet19"),
}
PARTS = ("neuron", "backbone", "norm", "loss", "optimizer", "schedule", "epochs")


def normal(*key: int, shape: Any = None) -> np.ndarray:
    """Standard normal numbers that belong to `key`, the same everywhere."""
    return np.random.default_rng(key).standard_normal(shape)


@dataclass(frozen=True)
class Oracle:
    """One file.

    Attributes:
        system: the file's name.
        facts: what it holds.
    """

    system: str
    facts: dict[str, Any]

    @property
    def rows(self) -> list[str]:
        """The rows it stands for; `row` is the one that it was compared with number by number."""
        return self.facts["rows"]

    @property
    def row(self) -> str:
        return self.facts["check_row"]

    @property
    def leaves(self) -> list[dict[str, Any]]:
        return self.facts["leaves"]

    @property
    def recipe(self) -> dict[str, Any]:
        return self.facts["recipe"]

    @property
    def seed(self) -> int:
        return self.facts["seed"]

    def compose(self, row: str | None = None) -> DictConfig:
        """The config of a row as it stands, of `self.row` if none is named."""
        return compose(row or self.row)

    def compose_reduced(self, row: str | None = None, *overrides: str) -> DictConfig:
        """The config of a row with the file's width, T and number of classes."""
        sizes = [f"T={self.facts['T']}", f"data.num_classes={self.facts['classes']}", "engine=reference"]
        return compose(row or self.row, *sizes, *self.facts["overrides"], *overrides)

    def parts(self, row: str) -> dict[str, Any]:
        """All that a network or an optimizer of this row is built from, with the file's T and number of classes."""
        cfg = self.compose(row)
        cfg.T, cfg.data.num_classes = self.facts["T"], self.facts["classes"]
        resolved: Any = OmegaConf.to_container(cfg, resolve=True)
        return {key: resolved[key] for key in PARTS}

    def other_settings(self, row: str | None = None) -> dict[str, tuple[Any, Any]]:
        """By key, those of a row's settings that are not the file's, beside the file's."""
        cfg = self.compose(row)
        found = {key: (OmegaConf.select(cfg, key), value) for key, value in self.recipe["config"].items()}
        return {key: (ours, official) for key, (ours, official) in found.items() if ours != official}

    @cached_property
    def batch(self) -> tuple[Tensor, Tensor]:
        """Input in float64, [B, C, H, W] or [T, B, C, H, W], and labels [B]."""
        shape, rng = self.facts["input"]["shape"], np.random.default_rng([self.seed, 999])
        frames = len(shape) == 5
        x = np.maximum(rng.integers(0, 20, shape) - 16, 0) if frames else rng.standard_normal(shape)
        labels = np.random.default_rng([self.seed, 998]).integers(0, self.facts["classes"], self.facts["batch"])
        assert labels.tolist() == self.facts["labels"]
        return torch.from_numpy(x).double(), torch.from_numpy(labels)

    @property
    def mixed_labels(self) -> Tensor:
        """Labels as Mixup makes them: 0.7 of each sample's own, 0.3 of the one before it, [B, classes]."""
        own = torch.nn.functional.one_hot(self.batch[1], self.facts["classes"]).double()
        return 0.7 * own + 0.3 * own.roll(1, 0)


@functools.cache
def load(system: str) -> Oracle:
    return Oracle(system, json.loads((NUMBERS / f"{system}.json").read_text()))


def report(differences: Sequence[str], limit: int = 8) -> None:
    """Fail if there are any, and show the first; each names what differs, ours and the official value."""
    if differences:
        more = [f"... and {len(differences) - limit} more"] if len(differences) > limit else []
        pytest.fail("\n".join(["ours != official:", *differences[:limit], *more]), pytrace=False)


def is_variant(system: str) -> bool:
    """Whether its name continues another's, from which it differs in T, neuron, loss or classes; or it is ALIKE."""
    return system in ALIKE or any(system.startswith(f"{other}_") for other in SYSTEMS)
