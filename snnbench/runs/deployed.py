"""Trained networks that were evaluated with another neuron: published rows of such, and what eval.py left.

configs/deployed/<paper>/<row>.yaml names the row that is trained, the neuron that then takes the place of the trained
one, and by short names what of it changes and what was reported: `<row>_deployed_<name>` is a row of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnbench.commands import CONFIGS
from snnbench.errors import UserError, did_you_mean
from snnbench.files import DAMAGED, read_yaml
from snnbench.runs.recipe import normal

BETWEEN = "_deployed_"
NOT_COUNTED = {"name", "_partial_", "_convert_", "engine", "T"}  # of a neuron: how it is called and computed


@dataclass(frozen=True)
class Deployed:
    """A published row of a network that was trained with one neuron and evaluated with another.

    Attributes:
        id: `<trained>_deployed_<name>`; `python eval.py run=RUN row=<id>` measures it.
        trained: the id of the row whose runs it is measured on.
        name: of the other neuron, short.
        neuron: its config, complete.
        checkpoint: which of the run's.
        acc: reported accuracy in percent.
        source: how well `acc` is known; a key of `sources` in configs/papers.yaml.
    """

    id: str
    trained: str
    name: str
    neuron: dict[str, Any]
    checkpoint: str
    acc: float
    source: str


def read_deployed(configs: Path = CONFIGS) -> dict[str, Deployed]:
    """All of them by id, in the order of their files.

    Raises:
        UserError: a file is not as it should be.
    """
    found = {}
    for path in sorted((configs / "deployed").glob("*/*.yaml")):
        try:
            raw = read_yaml(path)
            common = {key: raw[key] for key in ("trained", "checkpoint", "source")}
            for name, own in raw["rows"].items():
                changes = {key: value for key, value in own.items() if key != "acc"}
                row = f"{raw['trained']}{BETWEEN}{name}"
                found[row] = Deployed(
                    id=row,
                    name=name,
                    neuron={**raw["neuron"], **changes},
                    acc=float(own["acc"]),
                    **common,
                )
        except DAMAGED as error:
            text = " ".join(str(error).split())
            raise UserError(f"{path}: not rows of deployed networks ({type(error).__name__}: {text})") from error
    return found


def choose_deployed(row: str, configs: Path = CONFIGS) -> Deployed:
    """The row of that id.

    Raises:
        UserError: there is none.
    """
    known = read_deployed(configs)
    if row not in known:
        raise UserError(
            f"row={row}: is no row of a network that is evaluated with another neuron.{did_you_mean(row, known)}\n"
            "They stand in configs/deployed; a row that is trained is run by train.py."
        )
    return known[row]


def essence(neuron: Mapping[str, Any]) -> dict[str, Any]:
    """What of a neuron's config decides an evaluation: of a surrogate, whether it fires above the threshold only."""
    found = {key: normal(value) for key, value in neuron.items() if key not in {*NOT_COUNTED, "surrogate", "_target_"}}
    surrogate = neuron.get("surrogate")
    strict = bool(surrogate.get("strict")) if isinstance(surrogate, Mapping) else False
    return {**found, "class": str(neuron.get("_target_", "")).rpartition(".")[2], "strict": strict}


def deployed_file(checkpoint: str, neuron: Mapping[str, Any]) -> str:
    """Where the evaluation of a checkpoint with another neuron is kept; no two neurons share a file."""
    text = json.dumps(essence(neuron), sort_keys=True)
    return f"deployed-{checkpoint}-{neuron.get('name')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"


def measured(folder: Path, row: Deployed) -> float | None:
    """The accuracy in percent that a run's folder holds of this row; None where it was not measured, or not so."""
    try:
        values = json.loads((folder / deployed_file(row.checkpoint, row.neuron)).read_text("utf-8"))
        as_said = essence(values["deployed"]["neuron"]) == essence(row.neuron) and not values["deployed"]["dropped"]
        return float(values["measured"]["test/acc"]) if as_said else None
    except DAMAGED:
        return None


def of_rows(rows: Mapping[str, Any], deployed: Mapping[str, Deployed]) -> Iterator[tuple[str, list[Deployed]]]:
    """By trained row, of those in `rows`, what is measured on its runs."""
    for trained in dict.fromkeys(row.trained for row in deployed.values()):
        if trained in rows:
            yield trained, [row for row in deployed.values() if row.trained == trained]
