"""What an exported folder, which may come from anywhere, may name: classes of this project, and transforms."""

from __future__ import annotations

import inspect
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


def check(folder: str, cfg: DictConfig) -> None:
    """Refuse an exported config that names other code than is published with this project.

    Raises:
        UserError: names it.
    """
    for group, places in PLACES.items():
        for target in targets(OmegaConf.to_container(cfg[group])):
            if not (_known(target, places) or target in OTHERS):
                raise UserError(
                    f"{folder}: its {group} is made by {target}, which is not of this project. If you trust that code "
                    "as you trust your own: snnbench.load(..., trusted=True)."
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
