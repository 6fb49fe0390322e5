"""What of a resolved config decides a result: its hash, and the differences between two.

A recipe is what decides the numbers and nothing else. A class stands in it by its name, so that modules may move; code
that is not this project's own stands by a digest of its source (`snnbench.runs.code`), which the run recorded.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from snnbench.runs.came_later import CAME_LATER

VERSION = 2
"""Of these rules. A run of an older version is read by these, too: its whole config is there."""

# Cannot change a result, or is an axis of its own: the seed, and the number of epochs, since a run that stops early
# under the learning rates of the whole (schedule.epochs) is the beginning of one. Which files `paths` and `data.root`
# lead to is told by the provenance of a run (`snnbench.runs.read.Run.data`).
NOT_RECIPE = {
    *("paths", "logger", "name", "tags", "row", "resume", "retry", "seed", "epochs", "threads", "memory", "cuda_graph"),
    *("optimize", "lr_find", "weights.path"),
    *("data.root", "data.cache", "data.download", "data.verify", "data.num_workers", "data.eval_batch_size"),
    *("trainer.accelerator", "trainer.strategy", "trainer.deterministic", "trainer.benchmark", "trainer.profiler"),
    *("trainer.log_every_n_steps", "trainer.default_root_dir", "trainer.barebones", "trainer.detect_anomaly"),
    *("trainer.enable_checkpointing", "trainer.enable_progress_bar", "trainer.enable_model_summary"),
}
# What on a command line cannot change a recipe, besides the keys outside of it: with nothing else there, a differing
# recipe means an edited row. epochs can: the learning rates follow it.
HARMLESS = (NOT_RECIPE | {"experiment", "hydra"}) - {"epochs"}
# Keys that repeat another one. Where they differ they count; `config.check` lets only data.seed differ.
REPEATS = {
    "data.seed": "seed",
    "data.batch_size": "batch_size",
    "data.augment": "augment",
    "data.T": "T",
    "backbone.T": "T",
    "backbone.in_channels": "data.in_channels",
    "backbone.num_classes": "data.num_classes",
    "backbone.image_size": "data.image_size",
    "neuron.T": "T",
    "norm.T": "T",
    "neuron.engine": "engine",
    "backbone.head_neuron.engine": "engine",
    "trainer.max_epochs": "epochs",
}
# Whose numbers depend on how many epochs are planned: of these, a run of fewer ones is not the beginning of another.
BY_EPOCHS = {"MaskedPSN", "SWA", "TKS"}
# Callbacks that look on. Every other one counts.
HARMLESS_CALLBACKS = {
    *("lightning.ModelCheckpoint", "lightning.LearningRateMonitor", "lightning.DeviceStatsMonitor"),
    *("lightning.ModelSummary", "lightning.RichModelSummary", "lightning.ThroughputMonitor"),
    *("lightning.RichProgressBar", "lightning.TQDMProgressBar", "Progress", "NonFiniteGuard"),
}
EVAL_BATCH, PRECISION = "data.eval_batch_size", "trainer.precision"
BATCHES = {"trainer.limit_train_batches", "trainer.limit_val_batches", "trainer.overfit_batches"}
SPELT = {32: "32-true", "32": "32-true", 64: "64-true", "64": "64-true"}
TECHNICAL = {"_partial_", "_convert_", "_recursive_"}
OWN = "snnbench"
LIBRARIES = {
    *("torch", "torchvision", "torchmetrics", "lightning", "pytorch_lightning", "timm", "tonic", "wandb", "builtins"),
    *("mlflow", "hydra", "numpy"),
}
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
LENGTH = 10
HUGE = 10**300
LONGEST_NUMBER = 16  # characters, as of people; a digest may look like a number, and would lose digits as one

Code = Mapping[str, "int | str"]
"""By `_target_`: the revision of a class of this project, or a digest of the source of any other."""


def flat(config: Mapping[str, Any], code: Code | None = None) -> dict[str, Any]:
    """The keys of a resolved config that decide its result, dotted, with values of normalised type.

    Numbers are floats, so 1 equals 1.0; so are strings that spell a number, since YAML reads 5e-4 as a string.

    Args:
        config: resolved.
        code: what its run recorded of classes; without, classes of this project are as in its first revision, and
            what is neither its own nor a known library's is unidentified.
    """
    found: dict[str, Any] = {}
    whole = lookup(config, "trainer.limit_val_batches") in (None, 1.0)  # else it is batches that are evaluated

    def walk(prefix: str, node: Any) -> None:
        if prefix == EVAL_BATCH and not whole:
            found[prefix] = normal(node)
        if prefix in NOT_RECIPE or (prefix in REPEATS and _repeats(config, prefix, code or {})):
            return
        if prefix == "weights.digest" and lookup(config, "weights.recipe") is not None:
            return
        if prefix == "callbacks":
            found.update(_callbacks(node, code or {}))
        elif isinstance(node, Mapping) and node:
            for key in _counted(node):
                walk(f"{prefix}.{key}" if prefix else str(key), node[key])
        elif prefix.rpartition(".")[2] == "_target_":
            found[f"{prefix.removesuffix('_target_')}class"] = class_name(str(node), code or {})
        elif prefix in BATCHES and isinstance(node, int) and not isinstance(node, bool):
            found[prefix] = f"{node} batches"  # 1 is one of them, 1.0 all
        else:
            found[prefix] = (
                SPELT.get(node, normal(node, code or {})) if prefix == PRECISION else normal(node, code or {})
            )

    walk("", config)
    if "epochs" in config and any(target.rpartition(".")[2] in BY_EPOCHS for target in targets(config)):
        found["epochs"] = normal(config["epochs"])
    return found


def _counted(node: Mapping[Any, Any]) -> list[Any]:
    """The keys of a node but the technical ones, and options that came later and mean what was before."""
    name = f"{node['_target_'].rpartition('.')[2]}." if isinstance(node.get("_target_"), str) else ""

    def later(key: Any) -> bool:
        full = f"{name}{key}"
        return full in CAME_LATER and CAME_LATER[full] == normal(node[key])

    return [key for key in node if key not in TECHNICAL and not later(key)]


def _repeats(config: Mapping[str, Any], key: str, code: Code) -> bool:
    values = [normal(lookup(config, name), code) for name in (key, REPEATS[key])]
    return json.dumps(values[0], sort_keys=True) == json.dumps(values[1], sort_keys=True)


def lookup(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    node: Any = config
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _callbacks(node: Any, code: Code) -> dict[str, Any]:
    """Those that may change a result, in their order; what the config calls them does not count."""
    nodes = node.values() if isinstance(node, Mapping) else []
    counted = [
        normal(one, code)
        for one in nodes
        if isinstance(one, Mapping) and class_name(str(one.get("_target_")), code) not in HARMLESS_CALLBACKS
    ]
    return {"callbacks": counted} if counted else {}


def class_name(target: str, code: Code) -> str:
    """How a class counts: by its name, a library's with its first package before it, and by what `code` says of it."""
    top, *inner = target.split(".")
    name = inner[-1] if inner else top
    known = top == OWN or top in LIBRARIES
    moved = {key.rpartition(".")[2]: tag for key, tag in code.items()} if top == OWN else {}  # under its older name
    tag = code.get(target, moved.get(name, 1) if known else "unidentified")
    if top not in (OWN, "builtins") and known:
        name = ".".join([_package(top), *(part for part in inner[:-1] if re.fullmatch(r"v\d+", part)), name])
    return name if tag == 1 else f"{name}@{tag}"


def _package(top: str) -> str:
    return {"pytorch_lightning": "lightning"}.get(top, top)


def targets(node: Any) -> Iterator[str]:
    """Every `_target_` in a config."""
    if isinstance(node, Mapping):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        for item in node.values():
            yield from targets(item)
    elif isinstance(node, list | tuple):
        for item in node:
            yield from targets(item)


def normal(value: Any, code: Code | None = None) -> Any:
    """A value whose JSON is the same for all spellings of the same thing."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return float(value) if abs(value) < HUGE else str(value)
    if isinstance(value, str):
        return float(value) if NUMBER.fullmatch(value) and len(value) < LONGEST_NUMBER else value
    if isinstance(value, Mapping):
        items = {str(key): normal(value[key], code) for key in _counted(value) if key != "_target_"}
        named = {"class": class_name(str(value["_target_"]), code or {})} if "_target_" in value else {}
        return {**items, **named}
    if isinstance(value, list | tuple):
        return [normal(item, code) for item in value]
    return str(value)


def recipe_hash(config: Mapping[str, Any], code: Code | None = None) -> str:
    """Ten hexadecimal digits that are equal for equal recipes."""
    return hash_of(flat(config, code))


def hash_of(recipe: Mapping[str, Any]) -> str:
    """The same of a recipe that is flat already."""
    text = json.dumps([VERSION, recipe], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Keys in which two flat recipes differ: (value in ours, value in theirs); a missing key counts as "absent"."""
    keys = sorted(ours.keys() | theirs.keys())
    pairs = {key: (ours.get(key, "absent"), theirs.get(key, "absent")) for key in keys}
    return {key: pair for key, pair in pairs.items() if json.dumps(pair[0]) != json.dumps(pair[1])}  # False is not 0


def describe(differing: Mapping[str, tuple[Any, Any]], most: int = 3) -> str:
    """`optimizer.lr 0.05 (row: 0.1), ...`: the first few differences."""
    shown = [f"{key} {_text(ours)} (row: {_text(theirs)})" for key, (ours, theirs) in list(differing.items())[:most]]
    rest = len(differing) - most
    return ", ".join(shown) + (f", and {rest} more" if rest > 0 else "")


def _text(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 30 else text[:27] + "..."


def overrides(command: str) -> list[str]:
    """The words of a run's command line that can have changed its recipe."""
    try:
        found = shlex.split(command)
    except ValueError:  # it was edited
        found = command.split()
    words = [word.lstrip("+~") for word in found if "=" in word or word.startswith("~")]
    keys = [word.partition("=")[0] for word in words]
    return [
        word
        for word, key in zip(words, keys, strict=True)
        if key not in HARMLESS and key.partition(".")[0] not in HARMLESS
    ]
