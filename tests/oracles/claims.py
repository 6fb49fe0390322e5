"""What the oracles say of a row, as its `proof` block must have it: from the files and the configs, nothing is run."""

from __future__ import annotations

import re
from collections.abc import Iterable

from omegaconf import DictConfig

from tests.oracles.oracle import Oracle, compose

TESTS = {  # by part of a recipe: the tests that compare it
    "network": ("test_output_maps", "test_spikes", "test_logits", "test_running_statistics", "test_size"),
    "loss": ("test_loss",),
    "gradients": ("test_gradients",),
    "initialization": ("test_start",),
    "optimizer": ("test_optimizer",),
    "schedule": ("test_learning_rates",),
    "settings": ("test_settings",),
}
SETTINGS = {"batch_size", "data.drop_last", "trainer.precision"}  # a file that does not list these leaves them open


def known_to_differ(system: str, known: Iterable[str]) -> set[str]:
    """The parts of this system of which a test stands in `known`, the names of tests that are expected to fail."""
    names = [re.split(r"[\[\]-]", name) for name in known]
    tests = {name for name, *ids in names if system in ids}
    return {part for part, own in TESTS.items() if tests & set(own)}


def compared(oracle: Oracle, row: str, known: Iterable[str]) -> set[str]:
    """The parts of `row` that were compared with the oracle's numbers, or are those of the row that was."""
    if oracle.parts(row) != oracle.parts(oracle.row):
        return set()
    found = TESTS.keys() - known_to_differ(oracle.system, known)
    if any(leaf["params"].keys() - leaf.get("init", {}).keys() for leaf in oracle.leaves):
        found -= {"initialization"}
    if "dropout_seed" in oracle.facts:
        found |= {"dropout"}
    augment = compose(row).augment
    if any(augment.get(key) for key in ("batch", "mixup", "cutmix")) and "loss_mixed" not in oracle.facts:
        found -= {"loss"}  # it is trained on mixed labels
    if SETTINGS - oracle.recipe["config"].keys() or oracle.other_settings(row):
        found -= {"settings"}
    return found


def parts_of(row: str) -> set[str]:
    """All the parts that the recipe of `row` has."""
    cfg = compose(row)
    reduced = {str(cfg.trainer.precision), str(cfg.eval_precision)} - {"32-true", "None"}
    return {
        *TESTS,
        *("data", "augmentation", "curve"),
        *(["dropout"] if _has_dropout(cfg) else []),
        *(["precision"] if reduced else []),
    }


def _has_dropout(cfg: DictConfig) -> bool:
    """Whether masks are drawn: the noise of ASGL's neurons is one, too."""
    return any(cfg.backbone.get(key) for key in ("dropout", "hidden_dropout", "moderate_dropout")) or bool(
        cfg.neuron.get("noise")
    )


def commit_of(oracle: Oracle) -> str:
    """The first that the file names, in full."""
    return re.findall(r"\b[0-9a-f]{40}\b", oracle.facts["official"])[0]
