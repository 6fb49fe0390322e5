"""What of a resolved config decides a result: its hash, and the differences between two."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

# Cannot change a result, or is an axis of its own: the seed, and the number of epochs, since a run that stops early
# under the learning rates of the whole (schedule.epochs) is the beginning of one.
NOT_RECIPE = {
    *("paths", "logger", "callbacks", "name", "tags", "row", "resume", "seed", "epochs"),
    *("engine", "compile", "threads", "neuron.engine"),
    *("data.root", "data.cache", "data.download", "data.verify", "data.num_workers", "data.eval_batch_size"),
    *("data.seed", "data.batch_size", "data.augment"),  # repeat the top-level keys
    *("trainer.max_epochs", "trainer.accelerator", "trainer.strategy", "trainer.deterministic", "trainer.benchmark"),
}
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
LENGTH = 10


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a resolved config that decide its result, dotted, with values of normalised type.

    Numbers are floats, so 1 equals 1.0; so are strings that spell a number, since YAML reads 5e-4 as a string.
    """
    found: dict[str, Any] = {}

    def walk(prefix: str, node: Any) -> None:
        if prefix in NOT_RECIPE:
            return
        if isinstance(node, Mapping) and node:
            for key in node:
                walk(f"{prefix}.{key}" if prefix else str(key), node[key])
        else:
            found[prefix] = normal(node)

    walk("", config)
    return found


def normal(value: Any) -> Any:
    """A value whose JSON is the same for all spellings of the same thing."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        return float(value) if NUMBER.fullmatch(value) else value
    if isinstance(value, Mapping):
        return {str(key): normal(value[key]) for key in value}
    if isinstance(value, list | tuple):
        return [normal(item) for item in value]
    return str(value)


def recipe_hash(config: Mapping[str, Any]) -> str:
    """Ten hexadecimal digits that are equal for equal recipes."""
    text = json.dumps(flat(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def differences(config: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Keys in which two recipes differ: (value in config, value in reference); a missing key counts as "absent"."""
    ours, theirs = flat(config), flat(reference)
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
