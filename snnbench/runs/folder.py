"""A run's own folder: made for it alone, locked while it is in use."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, TextIO

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from snnbench import commands
from snnbench.errors import UserError
from snnbench.files import read_yaml
from snnbench.runs.schema import CONFIG, LOCK, RESULT

_CHILD = "SNNBENCH_RUN_FOLDER"
MOVED = {
    "snnbench.data.sources.": "snnbench.data.images.sources.",
    "snnbench.data.folders.": "snnbench.data.images.folders.",
}
"""Modules that configs of older runs name, and what they are called now."""


def is_main_process() -> bool:
    """False in the further processes of a distributed run, which the launcher numbers from 1."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0 and int(os.environ.get("NODE_RANK", "0")) == 0


def new_folder(cfg: DictConfig) -> Path:
    """Create the folder of a new run: `paths.output_dir`, or outputs/<name>/<date>-<time>-s<seed>.

    Creation is exclusive: two runs that start together get different folders.

    Raises:
        UserError: paths.output_dir exists already, or the folder cannot be made.
    """
    if not is_main_process() and _CHILD in os.environ:
        return Path(os.environ[_CHILD])
    try:
        folder = _given(cfg) if cfg.paths.output_dir else _next_free(cfg)
    except OSError as error:
        key = "paths.output_dir" if cfg.paths.output_dir else "paths.outputs"
        raise UserError(f"{key}={cfg.paths[key[6:]]}: cannot make the run's folder: {error}") from error
    folder = folder.absolute()
    os.environ[_CHILD] = str(folder)
    return folder


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


def open_folder(path: str) -> tuple[Path, DictConfig]:
    """The folder and config of an earlier run.

    Paths into the folder follow it where it was moved, and those into the data follow $SNNBENCH_DATA where it is set.

    Raises:
        UserError: it is not the folder of a run.
    """
    folder = Path(path).absolute()
    for name in (CONFIG, RESULT):
        if not (folder / name).is_file():
            raise UserError(f"{path}: not the folder of a run (it has no {name}). Runs lie in outputs/<name>/<time>.")
    cfg = _config(folder / CONFIG)
    if cfg.paths.output_dir:
        cfg = _literal(rebased(OmegaConf.to_container(cfg, resolve=True), str(cfg.paths.output_dir), str(folder)))
    cfg.paths.output_dir = commands.literal(str(folder))
    data = os.environ.get("SNNBENCH_DATA") and str(commands.home(os.environ["SNNBENCH_DATA"]))
    if data:
        cfg.data = _literal(
            rebased(OmegaConf.to_container(cfg.data, resolve=True), str(cfg.paths.data), data, keys=("root", "cache"))
        )
        cfg.paths.data = commands.literal(data)
    return folder, cfg


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
    """Hold the folder's lock; the system lets go of it when the process ends, however it ends.

    Raises:
        UserError: another process holds it.
    """
    if not is_main_process():
        yield
        return
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{folder}: this run is still going on in another process.") from None
        _held.append(file)
        try:
            yield
        finally:
            _held.remove(file)


def is_locked(folder: Path) -> bool:
    """Whether a process on this machine is at work in the folder."""
    try:
        with open(folder / LOCK, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


_held: list[TextIO] = []


def _let_go() -> None:
    """In a forked process. A loader's worker outlives a killed run by seconds, and would keep its folder locked."""
    for file in _held:
        file.close()


os.register_at_fork(after_in_child=_let_go)
