"""Which runs may stand in one figure: equal in all but what the figure compares, each seed counted once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from snnbench.runs.read import Ledger, Run

LeftOut = tuple[Run, str]


@dataclass
class Selection:
    """The runs that count, and the others, each with the reason."""

    counted: list[Run] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def _seed(run: Run) -> Any:
    return run.seed


def choose(runs: Iterable[Run], why_not: Callable[[Run], str | None], axis: Callable[[Run], Any] = _seed) -> Selection:
    """The one rule of what counts: nothing speaks against a run, and it is the first with its value on `axis`.

    Args:
        runs: in the order in which they count.
        why_not: the reason against a run, if there is one.
        axis: what no two counted runs may share: the seed, or more than that.
    """
    found = Selection()
    first: dict[Any, Run] = {}
    for run in runs:
        reason = why_not(run)
        if reason is None and axis(run) in first:
            reason = f"seed {run.seed} again; counted is {first[axis(run)].folder}"
        if reason is None:
            first[axis(run)] = run
            found.counted.append(run)
        else:
            found.left_out.append((run, reason))
    return found


def unfinished(run: Run) -> str | None:
    """Why a run is none that went to its end."""
    if run.status == "finished" and run.epochs == run.planned:
        return None
    error = " ".join(str(run.result.get("error") or "").split())
    because = f" ({error[:100]})" if error and run.status == "failed" else ""
    return f"{run.status} after {run.epochs} of {run.planned} epochs{because}"


def not_real(run: Run) -> str | None:
    """Why a run's data is not, or not known to be, all of the published data."""
    if run.provenance == "real":
        return None
    return f"not the real data: {run.provenance}" + (f" ({run.doubt})" if run.doubt else "")


def select(ledger: Ledger, any_data: bool = False) -> Selection:
    """Whole finished runs, on the real data unless `any_data`, one for each recipe, number of epochs, data and seed."""
    return choose(
        ledger.runs,
        lambda run: unfinished(run) or (None if any_data else not_real(run)),
        axis=lambda run: (run.recipe, run.planned, run.data, run.seed),
    )


def neuron(run: Run) -> dict[str, Any]:
    """What of the recipe is the neuron's. What follows T, such as a window as long as T, is no other neuron for it."""
    found = {key: value for key, value in run.flat.items() if key.startswith("neuron.")}
    found.pop("neuron.T", None)
    if str(found.get("neuron.name")).endswith("_psn") and found.get("neuron.k") == run.config["T"]:
        found["neuron.k"] = "T"
    return found


def setting(run: Run) -> dict[str, Any]:
    """The rest of the recipe, without T: runs of one setting, epochs and data differ in neuron, T and seed alone.

    The threshold that tdBN scales to is the neuron's, so it is not counted where it equals that.
    """
    found = {key: value for key, value in run.flat.items() if not key.startswith("neuron.")}
    for key in ("T", "backbone.T", "data.T"):
        found.pop(key, None)
    if found.get("norm.v_th") == (run.config["neuron"] or {}).get("v_th"):
        found.pop("norm.v_th", None)
    return {**found, "epochs": run.planned, "data": run.data}


def grouped(runs: Iterable[Run], key: Callable[[Run], Any]) -> list[list[Run]]:
    """The runs of each value of `key`, which may be anything that JSON can hold."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(json.dumps(key(run), sort_keys=True), []).append(run)
    return list(found.values())


def distinctions(configs: Sequence[dict[str, Any]], most: int = 3) -> list[str]:
    """For each of some flat configs, the values of the first keys in which not all agree; "" where all do.

    Where a part differs by its name (`neuron.surrogate.name`), options that only some of these have follow from that,
    and are left out unless they tell configs apart that are alike without them.
    """
    keys = sorted({key for config in configs for key in config})
    differing = [key for key in keys if len({json.dumps(config.get(key)) for config in configs}) > 1]
    plain = [key for key in differing if not key.endswith("class")] or differing
    parts = {key.removesuffix("name") for key in plain if key.endswith(".name")}
    fewer = [key for key in plain if not _follows(key, parts, configs)]
    keys = fewer if _told_apart(fewer, configs) == _told_apart(plain, configs) else plain
    return [", ".join(_value(key, config) for key in keys[:most]) for config in configs]


def _follows(key: str, parts: set[str], configs: Sequence[dict[str, Any]]) -> bool:
    part, _, option = key.rpartition(".")
    return f"{part}." in parts and option != "name" and not all(key in config for config in configs)


def _told_apart(keys: Sequence[str], configs: Sequence[dict[str, Any]]) -> int:
    return len({json.dumps([config.get(key) for key in keys]) for config in configs})


def _value(key: str, config: dict[str, Any]) -> str:
    value = config.get(key, "absent")
    return f"{key.removeprefix('neuron.')} {f'{value:g}' if isinstance(value, float) else value}"
