"""Which runs may stand in one figure: equal in all but what the figure compares, each seed counted once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from snnbench.runs.read import Ledger, Run
from snnbench.runs.recipe import flat

LeftOut = tuple[Run, str]


@dataclass
class Selection:
    """Runs to draw from, in the order in which they were started; the others, each with the reason."""

    runs: list[Run] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def select(ledger: Ledger, any_data: bool = False) -> Selection:
    """Whole finished runs, on the real data unless `any_data`, one for each recipe, number of epochs and seed."""
    found = Selection()
    first: dict[tuple[str, int, str, int], Run] = {}
    for run in ledger.runs:
        identity = (run.recipe, run.planned, run.provenance, run.seed)
        if run.status != "finished" or run.epochs != run.planned:
            found.left_out.append((run, f"{run.status} after {run.epochs} of {run.planned} epochs"))
        elif run.provenance != "real" and not any_data:
            found.left_out.append((run, f"not the real data: {run.provenance}"))
        elif identity in first:
            found.left_out.append((run, f"seed {run.seed} again; drawn is {first[identity].folder}"))
        else:
            first[identity] = run
            found.runs.append(run)
    return found


def neuron(run: Run) -> dict[str, Any]:
    """What of the recipe is the neuron's. What follows T, such as a window as long as T, is no other neuron for it."""
    found = {key: value for key, value in flat(run.config).items() if key.startswith("neuron.")}
    found.pop("neuron.T", None)
    if str(found.get("neuron.name")).endswith("_psn") and found.get("neuron.k") == run.config["T"]:
        found["neuron.k"] = "T"
    return found


def setting(run: Run) -> dict[str, Any]:
    """The rest of the recipe, without T: runs of one setting, epochs and data differ in neuron, T and seed alone.

    The threshold that tdBN scales to is the neuron's, so it is not counted where it equals that.
    """
    found = {key: value for key, value in flat(run.config).items() if not key.startswith("neuron.")}
    for key in ("T", "backbone.T", "data.T"):
        found.pop(key, None)
    if found.get("norm.v_th") == (run.config["neuron"] or {}).get("v_th"):
        found.pop("norm.v_th", None)
    return {**found, "epochs": run.planned, "provenance": run.provenance}


def grouped(runs: Iterable[Run], key: Callable[[Run], Any]) -> list[list[Run]]:
    """The runs of each value of `key`, which may be anything that JSON can hold."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(json.dumps(key(run), sort_keys=True), []).append(run)
    return list(found.values())


def distinctions(configs: Sequence[dict[str, Any]], most: int = 3) -> list[str]:
    """For each of some flat configs, the values of the first keys in which not all agree; "" where all do."""
    keys = sorted({key for config in configs for key in config})
    differing = [key for key in keys if len({json.dumps(config.get(key)) for config in configs}) > 1]
    plain = [key for key in differing if not key.endswith("_target_")] or differing
    return [", ".join(_value(key, config) for key in plain[:most]) for config in configs]


def _value(key: str, config: dict[str, Any]) -> str:
    value = config.get(key, "absent")
    return f"{key.removeprefix('neuron.')} {f'{value:g}' if isinstance(value, float) else value}"
