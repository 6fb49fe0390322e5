"""The weights that a run starts from: `weights=<run or file>`, and which ones they are, whatever their file is called.

They are known by a digest of their file, which enters the run's config and with it the recipe; the path does not. A row
may give the digest beforehand, or its beginning, such as the eight digits in the names of torchvision's files. Or it
names the recipe of the run that they must be of, where the training before is everybody's own: then that one counts.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from snnbench import commands
from snnbench.check import shown
from snnbench.errors import UserError
from snnbench.runs.read import read_run
from snnbench.runs.recipe import lookup
from snnbench.runs.result import Unreadable
from snnbench.runs.schema import CHECKPOINTS

KEYS = ("path", "skip", "digest")
RECIPE = "recipe"
EXPORTED = "model.safetensors"
LENGTH, LEAST = 16, 8  # digits of a digest, and of one that is given


def identify(cfg: DictConfig) -> None:
    """Replace `cfg.weights` by the file's whole path, the layers that are left out, and a digest of what is in it.

    Where a digest is there already, of a row or of a run that goes on, and no recipe, nothing is changed.

    Raises:
        UserError: there is no such file, or it is not of a finished run of the recipe that is asked for.
    """
    given: Any = OmegaConf.to_container(cfg, resolve=True).get("weights")  # type: ignore[union-attr]
    if given is None or (isinstance(given, dict) and set(given) == set(KEYS) and _read(given) and given["digest"]):
        return
    path, skip = _read(given)
    file = _file(path)
    wanted, recipe = (given.get(key) if isinstance(given, dict) else None for key in ("digest", RECIPE))
    if wanted is not None and not matches(file, wanted):
        raise UserError(f"weights.digest={shown(wanted)}: is not that of {file}, which is {digest(file)}.")
    found = {"path": commands.literal(str(file.absolute())), "skip": skip, "digest": wanted or digest(file)}
    if recipe is not None:
        _check_recipe(file.absolute(), recipe)
        found[RECIPE] = recipe
    cfg.weights = found


def matches(file: Path, given: Any) -> bool:
    """Whether `given` is the digest of a file, or its beginning.

    Raises:
        UserError: the file cannot be read.
    """
    return isinstance(given, str) and len(given) >= LEAST and digest(file).startswith(given)


def digest(file: Path) -> str:
    """Of the file's content.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()[:LENGTH]
    except OSError as error:
        raise UserError(f"weights={file}: cannot be read: {error.strerror or error}.") from error


def _read(given: Any) -> tuple[str, list[str]]:
    if isinstance(given, str) and given.strip():
        return given, []
    if not isinstance(given, dict) or not isinstance(given.get("path"), str) or not given.keys() <= {*KEYS, RECIPE}:
        hint = "must be a run's folder or a file of weights, or {path: <that>, skip: [<layer>, ...]}"
        raise UserError(f"weights={shown(given)}: {hint}.")
    skip = given.get("skip") or []
    if not isinstance(skip, list) or not all(isinstance(name, str) and name for name in skip):
        raise UserError(f"weights.skip={shown(skip)}: must be a list of layers, such as [fc].")
    return given["path"], sorted(skip)


def _file(given: str) -> Path:
    """The file of a run's last epoch, that of an exported run, or the file itself."""
    path = commands.home(given)
    places = [path / CHECKPOINTS / "last.ckpt", path / EXPORTED] if path.is_dir() else [path]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        what = (
            f"has no {CHECKPOINTS}/last.ckpt, so it is no run that finished an epoch"
            if path.is_dir()
            else "is not there"
        )
        raise UserError(f"weights={given}: {what}. Give a run's folder, or a file such as <run>/checkpoints/best.ckpt.")
    return found


def _check_recipe(file: Path, wanted: Any) -> None:
    """Refuse weights that are not those of a finished run of this recipe: `file` lies in its folder of checkpoints.

    One of a part of its schedule's epochs, or of other data than the real one, is none, though its recipe is the same.
    """
    asked = f"weights.recipe={shown(wanted)}"
    try:
        run = read_run(file.parent.parent)
    except Unreadable as error:
        raise UserError(f"{asked}: weights={file} must be of a run; {error}.") from error
    if run.recipe != wanted or run.status != "finished":
        raise UserError(
            f"{asked}: weights={run.folder} must be a finished run of this recipe; it is {run.status}, of {run.recipe}."
        )
    epochs = lookup(run.config, "schedule.epochs") or run.planned
    if run.epochs + (lookup(run.config, "schedule.start") or 0) < epochs:
        raise UserError(f"{asked}: weights={run.folder} has {run.epochs} of the {epochs} epochs of its schedule.")
    if run.provenance != "real":
        hint = "For a trial on such data: weights.recipe=null."
        raise UserError(f"{asked}: weights={run.folder} was trained on data that is {run.provenance}. {hint}")
