"""The hash of a recipe: what it sees, and what it must not see."""

import copy

import pytest
from omegaconf import OmegaConf

from snnbench.config import CONFIGS
from snnbench.runs import recipe
from snnbench.runs.recipe import NOT_RECIPE, REPEATS, class_name, describe, differences, flat, recipe_hash

CONFIG = {
    "T": 4,
    "seed": 0,
    "epochs": 10,
    "batch_size": 128,
    "engine": "auto",
    "compile": False,
    "threads": None,
    "name": "a",
    "tags": [],
    "row": {"id": "x/y"},
    "augment": {"name": "none"},
    "paths": {"data": "/a"},
    "data": {
        "_target_": "snnbench.data.ImageData", "name": "digits", "root": "/a", "num_workers": 2, "val_fraction": 0.0,
        "seed": 0, "mean": [0.5, 1], "batch_size": 128, "eval_batch_size": 128, "augment": {"name": "none"},
        "num_classes": 10,
    },
    "neuron": {
        "_target_": "snnbench.neurons.LIF", "_partial_": True, "name": "lif", "tau": 2.0, "engine": "auto",
        "v_reset": None, "detach_reset": False,
    },
    "backbone": {"_target_": "snnbench.backbones.VGG", "T": 4, "num_classes": 10},
    "optimizer": {"_target_": "torch.optim.SGD", "lr": 5e-4, "decay": ["weight"]},
    "schedule": {"epochs": 10},
    "trainer": {
        "limit_train_batches": 1.0, "limit_val_batches": 1.0, "precision": "32-true", "accelerator": "cpu",
        "max_epochs": 10, "accumulate_grad_batches": 1,
    },
    "callbacks": {"best": {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "monitor": "test/acc"}},
    "logger": {},
}  # fmt: skip
STOPPING = {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "monitor": "val/acc"}
EMA = {"_target_": "lightning.pytorch.callbacks.WeightAveraging"}


def changed(*pairs):
    config = copy.deepcopy(CONFIG)
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        *parents, last = key.split(".")
        node = config
        for parent in parents:
            node = node[parent]
        node[last] = value
    return config


@pytest.mark.parametrize(
    "change",
    [
        ("seed", 7, "data.seed", 7),
        ("epochs", 3, "trainer.max_epochs", 3),
        ("threads", 2),
        ("name", "b"),
        ("tags", ["c"]),
        ("row", None),
        ("paths.data", "/b"),
        ("data.root", "/b"),
        ("data.num_workers", "auto"),
        ("data.eval_batch_size", 3),
        ("trainer.accelerator", "gpu"),
        ("trainer.profiler", "simple"),
        ("trainer.log_every_n_steps", 1),
        ("trainer.precision", 32),
        ("callbacks", {}),
        ("callbacks.rate", {"_target_": "lightning.pytorch.callbacks.LearningRateMonitor"}),
        ("callbacks.bar", {"_target_": "lightning.pytorch.callbacks.RichProgressBar"}),
        ("callbacks.guard", {"_target_": "snnbench.training.guard.NonFiniteGuard", "every_n_steps": 5}),
        ("callbacks.dropped", None),
        ("logger", {"_target_": "lightning.pytorch.loggers.WandbLogger"}),
        ("neuron._partial_", False),
        # a module that moved
        ("neuron._target_", "snnbench.cells.leaky.LIF"),
        ("data._target_", "snnbench.data.images.module.ImageData"),
        ("optimizer._target_", "torch.optim.sgd.SGD"),
        ("callbacks.best._target_", "pytorch_lightning.callbacks.ModelCheckpoint"),
        # the same number in another spelling
        ("T", 4.0, "backbone.T", 4),
        ("T", "4"),
        ("optimizer.lr", "5e-4"),
        ("optimizer.lr", "5.0E-04"),
        ("optimizer.lr", ".0005"),
        ("data.val_fraction", 0),
        ("data.mean", (0.5, 1.0)),
    ],
    ids=str,
)
def test_what_cannot_change_a_result_does_not_change_the_hash(change):
    assert differences(flat(changed(*change)), flat(CONFIG)) == {}
    assert recipe_hash(changed(*change)) == recipe_hash(CONFIG)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("T", 5, ["T", "backbone.T"]),
        ("batch_size", 64, ["batch_size", "data.batch_size"]),
        ("engine", "reference", ["engine", "neuron.engine"]),
        ("compile", True, ["compile"]),
        ("data.seed", 7, ["data.seed"]),
        ("data.augment", None, ["data.augment"]),
        ("data.val_fraction", 0.1, ["data.val_fraction"]),
        ("data.name", "mnist", ["data.name"]),
        ("data.mean", [1, 0.5], ["data.mean"]),
        ("neuron.tau", 2.0000001, ["neuron.tau"]),
        ("neuron.v_reset", 0.0, ["neuron.v_reset"]),
        ("neuron.detach_reset", True, ["neuron.detach_reset"]),
        ("neuron.detach_reset", 0, ["neuron.detach_reset"]),
        ("neuron.new", None, ["neuron.new"]),
        ("neuron._target_", "snnbench.neurons.KLIF", ["neuron.class"]),
        ("optimizer._target_", "mine.SGD", ["optimizer.class"]),
        ("optimizer._target_", "timm.optim.SGD", ["optimizer.class"]),
        ("optimizer.decay", [], ["optimizer.decay"]),
        ("schedule.epochs", 9, ["schedule.epochs"]),
        ("trainer.precision", "16-mixed", ["trainer.precision"]),
        ("trainer.limit_val_batches", 0.5, ["data.eval_batch_size", "trainer.limit_val_batches"]),
        ("trainer.limit_train_batches", 1, ["trainer.limit_train_batches"]),
        ("trainer.accumulate_grad_batches", 2, ["trainer.accumulate_grad_batches"]),
        ("callbacks.stop", STOPPING, ["callbacks"]),
        ("callbacks.ema", EMA, ["callbacks"]),
        ("callbacks.mine", {"_target_": "mine.ModelCheckpoint"}, ["callbacks"]),
    ],
    ids=str,
)
def test_what_can_change_a_result_changes_the_hash_and_is_named(key, value, named):
    other = changed(key, value)
    assert recipe_hash(other) != recipe_hash(CONFIG)
    assert list(differences(flat(other), flat(CONFIG))) == sorted(named)
    assert describe(differences(flat(other), flat(CONFIG))).startswith(sorted(named)[0])


def test_callbacks_count_by_what_they_are_and_not_by_what_they_are_called():
    one, other = (changed("callbacks", {key: {**STOPPING}}) for key in ("stop", "early"))
    assert recipe_hash(one) == recipe_hash(other) != recipe_hash(CONFIG)
    assert recipe_hash(changed("callbacks", {"stop": {**STOPPING, "patience": 9}})) != recipe_hash(one)


def test_code_of_ones_own_counts_by_its_digest_and_unknown_code_is_like_no_other():
    own = changed("neuron._target_", "mine.Adaptive")
    known, edited = (recipe_hash(own, {"mine.Adaptive": tag}) for tag in ("ab12", "cd34"))
    assert len({known, edited, recipe_hash(own), recipe_hash(CONFIG)}) == 4
    assert recipe_hash(CONFIG, {"snnbench.neurons.LIF": 1}) == recipe_hash(CONFIG)
    assert recipe_hash(CONFIG, {"snnbench.neurons.LIF": 2}) != recipe_hash(CONFIG)
    assert class_name("torchvision.transforms.v2.RandomCrop", {}) == "torchvision.v2.RandomCrop"


def test_an_option_that_came_later_is_absent_from_older_runs(monkeypatch):
    monkeypatch.setitem(recipe.CAME_LATER, "LIF.shared_mask", False)
    assert recipe_hash(changed("neuron.shared_mask", False)) == recipe_hash(CONFIG)
    assert recipe_hash(changed("neuron.shared_mask", True)) != recipe_hash(CONFIG)
    nested = [{"_target_": "snnbench.neurons.LIF", "shared_mask": False}], [{"_target_": "snnbench.neurons.LIF"}]
    assert len({recipe_hash(changed("augment.sample", value)) for value in nested}) == 1


def test_order_of_keys_does_not_matter():
    assert recipe_hash(dict(reversed(CONFIG.items()))) == recipe_hash(CONFIG)


def test_many_differences_are_counted():
    other = {**CONFIG, "T": 1, "batch_size": 1, "data": {}, "neuron": {}}
    text = describe(differences(flat(other), flat(CONFIG)), most=2)
    assert text.startswith("T 1 (row: 4), backbone.T 4 (row: absent), and ")


def following(node):
    """The dotted keys of a config whose values are `${...}`."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from (f"{key}.{inner}" for inner in following(value))
        elif isinstance(value, str) and "${" in value:
            yield key


def test_every_key_that_follows_another_one_is_known():
    """A config file's `${...}` is a value that can be overridden: it repeats a key, is no recipe, or may differ."""
    free = {"data.eval_batch_size", "schedule.epochs", "norm.v_th", "neuron.k"}
    found = set()
    for path in sorted(CONFIGS.glob("*/*.yaml")):
        group = path.parent.name
        if group in {"paths", "logger", "callbacks", "sweep", "augment", "debug"}:
            continue
        found |= {f"{group}.{key}" for key in following(OmegaConf.to_container(OmegaConf.load(path)))}
    assert found - free - NOT_RECIPE == set(REPEATS)


@pytest.mark.parametrize(("one", "other"), [("1e34567890123456", "2e34567890123456"), ("9" * 16, "9" * 15 + "8")])
def test_digests_that_look_like_numbers_are_none(one, other):
    assert len({recipe_hash({"weights": {"skip": [], "digest": digest}}) for digest in (one, other)}) == 2


@pytest.mark.parametrize(
    "target", ["snnbench.neurons.MaskedPSN", "snnbench.training.averaging.SWA", "snnbench.training.losses.TKS"]
)
def test_where_the_number_of_epochs_decides_numbers_a_shorter_run_is_no_beginning_of_a_longer_one(target):
    def of(epochs, target):
        return recipe_hash({"epochs": epochs, "schedule": {"epochs": 8}, "neuron": {"_target_": target}})

    assert of(4, target) != of(8, target)
    assert of(4, "snnbench.neurons.LIF") == of(8, "snnbench.neurons.LIF")
