"""From a run, an exported folder, or the name of a row to a network that can be called."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from snnbench import config, weights
from snnbench.commands import literals, override
from snnbench.errors import UserError, did_you_mean
from snnbench.explain import WRONG, explain
from snnbench.models import trust
from snnbench.models.model import Model
from snnbench.models.weights import WEIGHTS, read_weights
from snnbench.overrides import CommandLine
from snnbench.runs.folder import open_folder
from snnbench.runs.result import read_result
from snnbench.runs.schema import CHECKPOINTS, CONFIG
from snnbench.training import build
from snnbench.training.checkpoint import of_network, read_checkpoint
from snnbench.training.initial import load_weights


def load(
    source: str | os.PathLike[str] = "",
    *overrides: str,
    checkpoint: str = "last",
    data: str | os.PathLike[str] | None = None,
    trusted: bool = False,
) -> Model:
    """A network with its config and its data: of a run, of an exported folder, of a row, or of the words of a command.

        load("outputs/digits-convnet-dalif-T4/20261126-101500-s0")    a run: with its weights
        load("plif/fashion_mnist_plifnet_t8_lif", "T=4")              a row: as a training would begin
        load("neuron=plif", "data=mnist", "T=2")                      as `train.py` would build it from these words

    The network is in evaluation mode, so that norms use their running statistics; `network.train()` changes that. The
    random state of the process stays as it was.

    Args:
        source: what to load. A folder of a run is trusted as code is: what its config names is executed.
        overrides: of a row or of words, more words; a run has none.
        checkpoint: of a run, "last" or "best", or what else its checkpoints/ holds.
        data: the folder where the data lies now; else it is where the run was told, or $SNNBENCH_DATA.
        trusted: whether an exported folder may name code that is not this project's.

    Raises:
        UserError: there is no such run, row or checkpoint; a config that makes no sense; a damaged file.
    """
    name = os.fspath(source)
    if isinstance(source, os.PathLike) or os.path.isfile(os.path.join(name, CONFIG)):
        if overrides:
            raise UserError(f"{overrides[0]}: a run has its config; only a row's can be changed.")
        folder = Path(name)
        wanted = None if data is None else os.fspath(data)
        exported = (folder / WEIGHTS).is_file()
        return _exported(folder, wanted, trusted) if exported else _run(folder, checkpoint, wanted)
    words = [*([name] if "=" in name else [f"experiment={name}"] if name else []), *overrides]
    if data is not None:
        words.append(override("paths.data", os.fspath(data)))
    cfg = _composed(name, words)
    network = _network(cfg)
    load_weights(cfg, network)
    return Model(network, cfg)


def _run(folder: Path, checkpoint: str, data: str | None) -> Model:
    where, cfg = open_folder(str(folder), data=data)
    path = where / CHECKPOINTS / f"{checkpoint}.ckpt"
    known = sorted(found.stem for found in path.parent.glob("*.ckpt"))
    if checkpoint not in known:
        near = did_you_mean(checkpoint, known)
        raise UserError(f"{folder}: has no checkpoint {checkpoint!r}.{near} Known: {', '.join(known) or 'none'}.")
    found = read_checkpoint(path)
    network = _network(cfg, of_network(found["state_dict"]), path)
    return Model(network, cfg, where, read_result(where), int(found["epoch"]))


def _exported(folder: Path, data: str | None, trusted: bool) -> Model:
    where, cfg = open_folder(str(folder), data=data or os.environ.get("SNNBENCH_DATA", "data"))
    if not trusted:
        trust.check(str(folder), cfg)
    state, epoch = read_weights(where / WEIGHTS)
    return Model(_network(cfg, state, where / WEIGHTS), cfg, where, read_result(where), epoch)


def _network(cfg: DictConfig, state: dict[str, Tensor] | None = None, path: Path | None = None) -> nn.Module:
    with _random_state_kept():
        network = build.build_network(cfg)
    if state is not None:
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            text = " ".join(str(error).split())[:300]
            raise UserError(f"{path}: is not of the network that its config describes: {text}") from error
    return network.eval()


def _composed(name: str, words: Sequence[str]) -> DictConfig:
    """The config of a training by these words, resolved and checked."""
    folders = config.folders()
    typed = CommandLine("train", folders, overrides=tuple(words))
    if name and "=" not in name and not any((path / "experiment" / f"{name}.yaml").is_file() for path in folders):
        rows = [f"{row.parent.name}/{row.stem}" for path in folders for row in path.glob("experiment/*/*.yaml")]
        raise UserError(f"{name}: neither the folder of a run nor a row.{did_you_mean(name, rows)}")
    return composed(typed, _whole)


def composed(typed: CommandLine, finish: Callable[[DictConfig], DictConfig]) -> DictConfig:
    """The config of a training by a command's overrides, as `finish` gives it, which checks it.

    Raises:
        UserError: names the word that was typed.
    """
    try:
        typed.check()
        config.register_schema()
        with hydra.initialize_config_dir(str(config.CONFIGS.absolute()), version_base="1.3"):
            cfg = hydra.compose("train", list(typed.overrides))
        config.at_home(cfg)
        return finish(cfg)
    except WRONG as error:
        raise UserError(explain(error, typed)) from error


def _whole(cfg: DictConfig) -> DictConfig:
    """Checked and resolved, with the weights named that it begins with."""
    if cfg.resume is not None:
        raise UserError(f"resume={cfg.resume}: a run is loaded by its folder: snnbench.load({cfg.resume!r}).")
    config.check(cfg)
    weights.identify(cfg)
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    found: DictConfig = OmegaConf.create(literals(resolved))
    return found


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Building a network seeds all generators."""
    ours, theirs = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(ours)
        np.random.set_state(theirs)
