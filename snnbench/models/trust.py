"""What an exported folder, which may come from anywhere, may name: classes of this project, and transforms."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from snnbench.errors import UserError
from snnbench.runs.recipe import targets

NETWORK = ("snnbench.neurons.", "snnbench.backbones.")
PLACES = {
    "neuron": NETWORK,
    "backbone": NETWORK,
    "norm": NETWORK,
    "data": ("snnbench.data.", "torchvision.transforms."),
}
"""By group of a config, where classes may come from; the groups that are built when a model is loaded and used."""
OTHERS = ("builtins.tuple", "timm.data.rand_augment_transform")


FILES = ("root", "cache")
"""Keys of `data` that say where its files lie."""


def check(folder: str, cfg: DictConfig) -> None:
    """Refuse an exported config that names other code than is published with this project, or files of other folders.

    Files, too, since some data sets are published as pickles, and to read a pickle is to execute it: those beside the
    config come from wherever it does.

    Args:
        folder: as the user named it.
        cfg: of the run, whose `paths.data` is the user's.

    Raises:
        UserError: names it.
    """
    missing = next((group for group in PLACES if not isinstance(cfg.get(group), DictConfig)), None)
    if missing:
        raise UserError(f"{folder}: its config has no {missing}, so it is not the config of a run.")
    _check_files(folder, cfg)
    for group, places in PLACES.items():
        for target in targets(OmegaConf.to_container(cfg[group])):
            if not (_known(target, places) or target in OTHERS):
                raise UserError(
                    f"{folder}: its {group} is made by {target}, which is not of this project. If you trust that code "
                    "as you trust your own: snnbench.load(..., trusted=True)."
                )


def _check_files(folder: str, cfg: DictConfig) -> None:
    ours = Path(os.path.abspath(str(cfg.paths.data)))  # links in it are the user's
    for key in FILES:
        path = cfg.data.get(key)
        inside = isinstance(path, str) and ".." not in Path(path).parts and Path(path).absolute().is_relative_to(ours)
        if path is not None and not inside:
            raise UserError(
                f"{folder}: its data.{key}={path} does not lie in {cfg.paths.data}, where your data does. If you trust "
                "it as you trust your own code: snnbench.load(..., trusted=True)."
            )


def _known(target: str, places: tuple[str, ...]) -> bool:
    """Whether it is a class that is defined there: a path may lead anywhere by what a module has imported."""
    if not target.startswith(places):
        return False
    try:
        found: Any = get_object(target)
    except Exception as error:
        raise UserError(f"{target}: there is no such class.") from error
    return inspect.isclass(found) and f"{found.__module__}.".startswith(places)
