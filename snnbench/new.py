"""A part of one's own to begin with: its module, its config and a test that passes.

The skeletons are the examples of docs/how-to-add.md, under another name.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
from importlib import resources
from pathlib import Path

from snnbench.commands import ROOT
from snnbench.errors import UserError, did_you_mean
from snnbench.registry import config_name

KINDS = {
    "neuron": ("neuron", "Adaptive"),
    "backbone": ("backbone", "TwoLayers"),
    "dataset": ("data", "Spots"),
    "events": ("data", "Moths"),
}
"""By kind: its group of configs, and the class of the example."""
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def new(kind: str, name: str, folder: Path = Path()) -> list[Path]:
    """Write `<name>.py`, `configs/<group>/<name>.yaml` and `test_<name>.py` into `folder`; the paths of the three.

    Raises:
        UserError: there is no such kind; the name is none for a module, or taken; `folder` is a checkout of snnbench.
    """
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise UserError(f"{kind}: there is no skeleton of it.{did_you_mean(kind, KINDS)} There are: {known}.")
    group, example = KINDS[kind]
    if (folder / "configs" / "train.yaml").is_file():
        raise UserError(f"{folder.absolute()}: is a checkout of snnbench. Do this in a folder of your own.")
    stem = config_name(example)
    places = {
        f"{stem}.py.txt": folder / f"{name}.py",
        f"{stem}.yaml.txt": folder / "configs" / group / f"{name}.yaml",
        f"test_{stem}.py.txt": folder / f"test_{name}.py",
    }
    taken = next((path for path in places.values() if path.exists()), None)
    if taken:
        raise UserError(f"{taken}: exists already. Choose another name.")
    _check_name(name, group)
    skeleton = resources.files("snnbench") / "skeletons" / kind
    for file, path in places.items():
        text = (skeleton / file).read_text("utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(example, class_name(name)).replace(stem, name), "utf-8")
    return list(places.values())


def class_name(name: str) -> str:
    """my_neuron is MyNeuron."""
    return "".join(part.capitalize() for part in name.split("_"))


def _check_name(name: str, group: str) -> None:
    if not NAME.fullmatch(name):
        raise UserError(f"{name}: must be small letters, digits and single underscores, as my_neuron.")
    if keyword.iskeyword(name):
        raise UserError(f"{name}: is a word of Python's, which no module can be imported by. Choose another one.")
    if (ROOT / "configs" / group / f"{name}.yaml").is_file():
        raise UserError(f"{name}: this project has a {group}={name}. Choose another name.")
    if importlib.util.find_spec(name) is not None:
        raise UserError(f"{name}: Python has a module of that name already. Choose another one.")
