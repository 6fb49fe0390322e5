"""The hash of a recipe: what it sees, and what it must not see."""

import copy

import pytest

from snnbench.runs.recipe import describe, differences, recipe_hash

CONFIG = {
    "T": 4,
    "seed": 0,
    "epochs": 10,
    "batch_size": 128,
    "engine": "auto",
    "name": "a",
    "tags": [],
    "row": {"id": "x/y"},
    "paths": {"data": "/a"},
    "data": {"name": "digits", "root": "/a", "num_workers": 2, "val_fraction": 0.0, "seed": 0, "mean": [0.5, 1]},
    "neuron": {"name": "lif", "tau": 2.0, "engine": "auto", "v_reset": None, "detach_reset": False},
    "optimizer": {"lr": 5e-4, "decay": ["weight"]},
    "schedule": {"epochs": 10},
    "trainer": {"precision": "32-true", "accelerator": "cpu", "max_epochs": 10},
    "callbacks": {"best": {"_target_": "x"}},
    "logger": {},
}


def changed(key, value):
    config = copy.deepcopy(CONFIG)
    *parents, last = key.split(".")
    node = config
    for parent in parents:
        node = node[parent]
    node[last] = value
    return config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 7),
        ("epochs", 3),
        ("engine", "reference"),
        ("name", "b"),
        ("tags", ["c"]),
        ("row", None),
        ("paths.data", "/b"),
        ("data.root", "/b"),
        ("data.num_workers", "auto"),
        ("data.seed", 7),
        ("neuron.engine", "reference"),
        ("trainer.accelerator", "gpu"),
        ("trainer.max_epochs", 3),
        ("callbacks", {}),
        ("logger", {"_target_": "y"}),
        # the same number in another spelling
        ("T", 4.0),
        ("T", "4"),
        ("optimizer.lr", "5e-4"),
        ("optimizer.lr", "5.0E-04"),
        ("optimizer.lr", ".0005"),
        ("data.val_fraction", 0),
        ("data.mean", (0.5, 1.0)),
    ],
)
def test_what_cannot_change_a_result_does_not_change_the_hash(key, value):
    assert recipe_hash(changed(key, value)) == recipe_hash(CONFIG)
    assert differences(changed(key, value), CONFIG) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("T", 5),
        ("batch_size", 64),
        ("data.val_fraction", 0.1),
        ("data.name", "mnist"),
        ("data.mean", [1, 0.5]),
        ("neuron.tau", 2.0000001),
        ("neuron.v_reset", 0.0),
        ("neuron.detach_reset", True),
        ("neuron.detach_reset", 0),
        ("neuron.new", None),
        ("optimizer.decay", []),
        ("schedule.epochs", 9),
        ("trainer.precision", "16-mixed"),
    ],
)
def test_what_can_change_a_result_changes_the_hash_and_is_named(key, value):
    other = changed(key, value)
    assert recipe_hash(other) != recipe_hash(CONFIG)
    assert list(differences(other, CONFIG)) == [key]
    assert describe(differences(other, CONFIG)).startswith(key)


def test_order_of_keys_does_not_matter():
    assert recipe_hash(dict(reversed(CONFIG.items()))) == recipe_hash(CONFIG)


def test_many_differences_are_counted():
    other = {**CONFIG, "T": 1, "batch_size": 1, "data": {}, "neuron": {}}
    text = describe(differences(other, CONFIG), most=2)
    assert text.startswith("T 1 (row: 4), batch_size 1 (row: 128), and ")
