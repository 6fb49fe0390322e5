"""What the page knows of each run from the start: a line of its table, and the values of its config."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from snnbench import commands
from snnbench.results import labels, looks, selection
from snnbench.results.dashboard.endings import ending
from snnbench.runs.quantities import QUANTITIES
from snnbench.runs.quantity import finite
from snnbench.runs.read import Run

BESIDE = ("seed", "epochs", "engine", "compile", "threads", "trainer.accelerator")
MACHINE = ("revision", "dirty", "python", "cuda", "gpus", "cpu", "cores")


def entries(runs: Sequence[Run], notes: Mapping[Run, str]) -> list[dict[str, Any]]:
    """One line for each run; `notes` say why one is not counted.

    Runs of one setting differ in neuron, T and seed alone, those of one variant in all but the neuron's constants, and
    those of one family, which is both, in T and seed.
    """
    settings, variants, families = Numbering(), Numbering(), Numbering()
    found = []
    for run in runs:
        setting, variant = settings.of(selection.setting(run)), variants.of(selection.neuron(run))
        numbers = {"setting": setting, "variant": variant, "family": families.of([setting, variant])}
        found.append({**_entry(run), **numbers, "note": notes.get(run)})
    return found


def _entry(run: Run) -> dict[str, Any]:
    result, config = run.result, run.config
    chosen = {key: quantity.epoch_of(result) for key, quantity in QUANTITIES.items()}
    return {
        "name": str(config.get("name")),
        "row": run.row,
        "neuron": labels.neuron_of(run),
        "kind": _kind(run),
        "data": labels.data(_name(config, "data")),
        "backbone": labels.backbone(_name(config, "backbone")),
        "T": number(config["T"]),
        "seed": run.seed,
        "status": run.status,
        "error": " ".join(str(result.get("error") or "").split()) or None,
        "ending": ending(run),
        "epochs": run.epochs,
        "planned": run.planned,
        "values": {key: number(quantity.of(result)) for key, quantity in QUANTITIES.items()},
        "chosen": {key: number(epoch) for key, epoch in chosen.items() if epoch is not None},
        "started": run.started,
        "folder": str(run.folder),
        "provenance": run.provenance,
        "command": run.command,
        "measure": commands.evaluate(run=run.folder) if run.status == "finished" else None,
        "later": _later(run),
    }


def _later(run: Run) -> dict[str, str]:
    """By quantity that a finished run lacks, the command that measures it."""
    lacking = [one for one in QUANTITIES.values() if one.later and one.of(run.result) is None]
    if run.status != "finished":
        return {}
    return {quantity.key: commands.evaluate(run=run.folder, **(quantity.later or {})) for quantity in lacking}


def neurons(runs: Sequence[Run]) -> dict[str, list[str]]:
    """By the name in their config, [colour, symbol] of the neurons that some runs have, in the order of tables."""
    known = list(labels.neurons())
    kinds = {_kind(run) for run in runs}
    found = [*(name for name in known if name in kinds), *sorted(kinds - set(known))]
    return {name: [look.colour, look.symbol] for name in found for look in (looks.look(name),)}


def _kind(run: Run) -> str:
    return _name(run.config, "neuron")


def quantities() -> list[dict[str, Any]]:
    """The table of quantities, as the page's scripts read it (quantities.js)."""
    return [
        {
            "key": quantity.key,
            "label": quantity.label,
            "short": quantity.short,
            "over": quantity.over,
            "units": [[unit.size, unit.name] for unit in quantity.units],
            "words": quantity.words,
            "format": [quantity.format.kind, quantity.format.digits],
            "better": quantity.better,
            "shown": quantity.shown,
            "hint": quantity.needs,
        }
        for quantity in QUANTITIES.values()
    ]


def config_columns(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """By key, what may explain a difference: {"group", "values": the distinct ones, "index": of each run's value}.

    A key that a run does not have has the value "absent"; `index` is left out where all runs have the same.
    """
    tables = [(group, [read(run) for run in runs]) for group, read in GROUPS.items()]
    columns: dict[str, dict[str, Any]] = {}
    for group, configs in tables:
        for key in dict.fromkeys(key for config in configs for key in config):
            values = Numbering()
            index = [values.of(config.get(key, "absent")) for config in configs]
            columns[key] = {"group": group, "values": values.found, **({"index": index} if any(index) else {})}
    return columns


def _beside(run: Run) -> dict[str, Any]:
    config = {**run.config, "trainer.accelerator": _mapping(run.config.get("trainer")).get("accelerator")}
    return {key: config.get(key) for key in BESIDE}


def _machine(run: Run) -> dict[str, Any]:
    versions = {f"{name} version": version for name, version in _mapping(run.environment.get("versions")).items()}
    return {**{key: run.environment.get(key) for key in MACHINE}, **versions}


GROUPS = {"Recipe": lambda run: run.flat, "Beside the recipe": _beside, "Code and machine": _machine}


class Numbering:
    """Numbers things that JSON can hold, equal ones alike, from 0 on in the order in which they are first seen."""

    def __init__(self) -> None:
        self.found: list[Any] = []
        self._numbers: dict[str, int] = {}

    def of(self, value: Any) -> int:
        value = storable(value)
        key = json.dumps(value, sort_keys=True)
        if key not in self._numbers:
            self._numbers[key] = len(self.found)
            self.found.append(value)
        return self._numbers[key]


def storable(value: Any) -> Any:
    """`value` as JSON has it: whole numbers without a point, not-a-number and infinities as their names."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, Mapping):
        return {str(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def number(value: Any, digits: int = 6) -> float | int | None:
    """A finite number to so many significant digits, or None."""
    found = finite(value)
    if isinstance(found, int):
        return found if abs(found) < 2**63 else None
    return None if found is None else float(f"{found:.{digits}g}")


def _name(config: Mapping[str, Any], group: str) -> str:
    return str(_mapping(config.get(group)).get("name"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
