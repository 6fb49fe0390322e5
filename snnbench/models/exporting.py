"""A run as a folder for others: weights, config, results and a card, as model hubs take it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from snnbench.errors import UserError
from snnbench.files import write_text
from snnbench.models.card import card
from snnbench.models.loading import load
from snnbench.models.to_nir import to_nir, write_nir
from snnbench.models.weights import WEIGHTS, write_weights
from snnbench.runs.data_paths import GIVEN
from snnbench.runs.folder import rebased
from snnbench.runs.read import read_run
from snnbench.runs.schema import CONFIG, ENVIRONMENTS, LAYERS, METRICS, RESULT

CARD, NIR = "README.md", "model.nir"
COPIED = (RESULT, METRICS, LAYERS, ENVIRONMENTS)
PLACES = {"root": "data", "cache": "data/packed"}
"""Keys of `data` that say where its files lie, and where they lie by default."""


def export(
    run: str | os.PathLike[str], folder: str | os.PathLike[str], *, checkpoint: str = "last", nir: bool = False
) -> Path:
    """Write a run as a folder that `snnbench.load` takes, and that model hubs do.

    It holds `model.safetensors`, which is nothing but numbers; `config.yaml`, without the paths of this machine;
    `README.md`, the model card; and the run's result.json, metrics.csv, layers.csv and environment.jsonl.

    Args:
        run: the folder of a run.
        folder: a new one, or an empty one.
        checkpoint: whose weights, "last" or "best".
        nir: whether to write the network as `model.nir`, too (`snnbench.models.to_nir`).

    Returns:
        `folder`.

    Raises:
        UserError: there is no such run or checkpoint; there is something in the folder; NIR cannot say the network.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target}: exists already, and is not an empty folder. Name a new one.")
    model = load(Path(run), checkpoint=checkpoint)
    assert model.folder is not None
    if model.epoch is None or (model.folder / WEIGHTS).exists():
        raise UserError(f"{run}: was exported already; copy it.")
    text = card(read_run(model.folder), model, checkpoint)
    graph = to_nir(model.network) if nir else None
    target.mkdir(parents=True, exist_ok=True)
    write_weights(target / WEIGHTS, model.network.state_dict(), model.epoch)
    write_text(target / CONFIG, yaml.safe_dump(_without_places(model.config), sort_keys=False, allow_unicode=True))
    for name in COPIED:
        if (model.folder / name).is_file():
            shutil.copyfile(model.folder / name, target / name)
    write_text(target / CARD, text)
    if graph is not None:
        write_nir(target / NIR, graph)
    return target


def _without_places(cfg: Any) -> Any:
    """The config, resolved, with folders as they would be by default."""
    found: Any = OmegaConf.to_container(cfg, resolve=True)
    found = rebased(found, str(found["paths"]["output_dir"]), ".")
    found["data"] = rebased(found["data"], str(found["paths"]["data"]), "data", keys=tuple(PLACES))
    for key, place in PLACES.items():
        if os.path.isabs(str(found["data"].get(key))):  # it was given apart from the data's folder
            found["data"][key] = place
    found["paths"] |= {"data": "data", "outputs": "outputs", "output_dir": None, GIVEN: False}
    return found
