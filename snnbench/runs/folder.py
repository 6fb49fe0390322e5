"""A run's own folder: made for it alone, locked while it is in use."""

from __future__ import annotations

import contextlib
import copy
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from snnbench import commands
from snnbench.errors import UserError
from snnbench.files import read_yaml, write_text
from snnbench.holds import Held, hold, holder
from snnbench.processes import is_first
from snnbench.runs.data_paths import data_folder
from snnbench.runs.schema import CONFIG, LOCK, RESULT

MOVED = {
    "snnbench.data.sources.": "snnbench.data.images.sources.",
    "snnbench.data.folders.": "snnbench.data.images.folders.",
}
"""Modules that configs of older runs name, and what they are called now."""


def new_folder(cfg: DictConfig) -> Path:
    """Create the folder of a new run: `paths.output_dir`, or outputs/<name>/<date>-<time>-s<seed>.

    Creation is exclusive: two runs that start together get different folders.

    Raises:
        UserError: paths.output_dir exists already, or the folder cannot be made.
    """
    try:
        folder = _given(cfg) if cfg.paths.output_dir else _next_free(cfg)
    except OSError as error:
        key = "paths.output_dir" if cfg.paths.output_dir else "paths.outputs"
        raise UserError(f"{key}={cfg.paths[key[6:]]}: cannot make the run's folder: {error}") from error
    return folder.absolute()


def _given(cfg: DictConfig) -> Path:
    folder = Path(cfg.paths.output_dir)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir()
    except FileExistsError:
        raise UserError(
            f"paths.output_dir={folder}: exists already. Name a new folder, or go on with the run in it: "
            f"{commands.train(resume=folder)}"
        ) from None
    return folder


def _next_free(cfg: DictConfig) -> Path:
    parent = Path(cfg.paths.outputs) / cfg.name
    parent.mkdir(parents=True, exist_ok=True)
    base = f"{time.strftime('%Y%m%d-%H%M%S')}-s{cfg.seed}"
    for attempt in range(1, 10_000):
        folder = parent / (base if attempt == 1 else f"{base}-{attempt}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise OSError(f"no free name {base}-* in {parent}")


def open_folder(path: str, begun: bool = True, data: str | None = None) -> tuple[Path, DictConfig]:
    """The folder and config of an earlier run.

    Paths into the folder follow it where it was moved. Those into the data lead to `data`, if that is given; if not,
    they follow $SNNBENCH_DATA where it is set, unless the run was told its data's folder.

    Args:
        path: the folder.
        begun: whether the run must have got so far that it has a result.
        data: where its data lies now.

    Raises:
        UserError: it is not the folder of a run.
    """
    folder = Path(path).absolute()
    if folder.is_dir() and not any((folder / name).exists() for name in (CONFIG, RESULT)) and _bare(folder):
        raise UserError(
            f"{path}: its run was killed before it had written anything; there is nothing to go on with. Delete the "
            "folder and give the run's command again."
        )
    for name in (CONFIG, RESULT) if begun else (CONFIG,):
        if not (folder / name).is_file():
            raise UserError(f"{path}: not the folder of a run (it has no {name}). Runs lie in outputs/<name>/<time>.")
    cfg = _config(folder / CONFIG)
    if cfg.paths.output_dir:
        cfg = _literal(rebased(OmegaConf.to_container(cfg, resolve=True), str(cfg.paths.output_dir), str(folder)))
    cfg.paths.output_dir = commands.literal(str(folder))
    found = data_folder(folder, cfg, data)
    root, container = cfg.data.get("root"), OmegaConf.to_container(cfg.data, resolve=True)
    cfg.data = _literal(rebased(container, str(cfg.paths.data), found, keys=("root", "cache")))
    if found != cfg.paths.data and data is not None and cfg.data.get("root") == root:  # given apart from paths.data
        cfg.data.root = commands.literal(found)
    cfg.paths.data = commands.literal(found)
    return folder, cfg


def _bare(folder: Path) -> bool:
    """Whether it holds nothing, or only what is hidden: locks, and files that were being written."""
    return all(path.name.startswith(".") for path in folder.iterdir())


def with_names_of_today(value: Any) -> Any:
    """A config whose `_target_`s are where the classes of an older version are now."""
    if isinstance(value, dict):
        return {key: with_names_of_today(item) for key, item in value.items()} | _target_of_today(value)
    return [with_names_of_today(item) for item in value] if isinstance(value, list) else value


def _target_of_today(node: dict[Any, Any]) -> dict[str, str]:
    target = node.get("_target_")
    moved = next((old for old in MOVED if isinstance(target, str) and target.startswith(old)), None)
    return {"_target_": MOVED[moved] + str(target)[len(moved) :]} if moved else {}


def _config(path: Path) -> DictConfig:
    """A run's config as OmegaConf has it, with the names of today and the parts that `open_folder` needs."""
    try:
        found = read_yaml(path, aliases=False)
        if isinstance(found, dict) and isinstance(found.get("data"), dict):
            paths = found.get("paths")
            if isinstance(paths, dict) and {"data", "output_dir"} <= paths.keys():
                return _literal(with_names_of_today(found))
    except (OSError, RecursionError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{path}: damaged ({' '.join(str(error).split())[:120]}).") from error
    raise UserError(f"{path}: not the config of a run.")


def _literal(value: Any) -> DictConfig:
    """A resolved config as OmegaConf has it, in which every text stands for itself."""
    return OmegaConf.create(commands.literals(value))


@contextlib.contextmanager
def amended(folder: Path) -> Iterator[dict[str, Any]]:
    """The config of the run in `folder`, as it stands there; what the block changes of it is written."""
    found = read_yaml(folder / CONFIG, aliases=False)
    before = copy.deepcopy(found)
    yield found
    if found != before:
        write_text(folder / CONFIG, OmegaConf.to_yaml(_literal(found), resolve=True))


def rebased(value: Any, old: str, new: str, keys: Collection[str] | None = None) -> Any:
    """`value` with each path in it that is `old`, or lies in it, moved to `new`.

    Args:
        value: a string, or nested lists and dicts of anything.
        old, new: folders.
        keys: of a dict, only these are moved.
    """
    if isinstance(value, str):
        return new + value[len(old) :] if value == old or value.startswith(old.rstrip("/") + "/") else value
    if isinstance(value, dict):
        return {
            rebased(key, old, new): rebased(item, old, new) if keys is None or key in keys else item
            for key, item in value.items()
        }
    return [rebased(item, old, new) for item in value] if isinstance(value, list) else value


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; it is let go of when the process ends, however it ends.

    Raises:
        UserError: another process holds it, or the folder cannot be written to.
    """
    if not is_first():
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(folder / LOCK))
        except Held as error:
            raise UserError(f"{folder}: this run is still going on in another process ({error.holder}).") from None
        except OSError as error:
            raise UserError(f"{folder}: cannot be written to: {error.strerror or error}.") from error
        if _held_as_once(folder):
            raise UserError(f"{folder}: this run is still going on in another process.")
        yield


def is_locked(folder: Path) -> bool:
    """Whether a process is at work in the folder."""
    return holder(folder / LOCK) is not None or _held_as_once(folder)


def _held_as_once(folder: Path) -> bool:
    """Whether a process of an older version is at work there, which kept nothing but an flock."""
    try:
        import fcntl

        with open(folder / LOCK, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, ImportError):
        return False
    return False
