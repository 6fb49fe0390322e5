"""Weights of another run, or of a file, as the first ones of a network."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from snnbench.backbones import pretrained
from snnbench.errors import UserError
from snnbench.training.checkpoint import of_network
from snnbench.weights import matches

MOST = 3  # tensors that a message names


def load_weights(cfg: DictConfig, network: nn.Module) -> None:
    """Give `network` the weights, and the statistics of its norms, that `cfg.weights` names; without it, nothing.

    Raises:
        UserError: the file is damaged, is not the one that the run began with, or does not fit; names the tensors.
    """
    given = cfg.get("weights")
    if given is None:
        return
    path, skip = Path(given.path), list(given.skip)
    if not matches(path, given.digest):
        raise UserError(
            f"weights={path}: is not the file that this run began with, or its row names ({given.digest}...). "
            "Bring that back, or begin a new run."
        )
    theirs, ours = pretrained.for_network(_tensors(path), network), network.state_dict()
    wanted = {name: tensor for name, tensor in ours.items() if not _skipped(name, skip)}
    for name in skip:
        if not any(_skipped(one, [name]) for one in {**ours, **theirs}):
            raise UserError(f"weights.skip: {name} is nothing of this network. Its parts: {', '.join(_parts(ours))}.")
    theirs = {name: tensor for name, tensor in theirs.items() if not _skipped(name, skip)}
    found = list(itertools.islice(_misfits(theirs, wanted), MOST + 1))
    if found:
        more = ", and more" if len(found) > MOST else ""
        raise UserError(
            f"weights={path}: does not fit this network: {'; '.join(found[:MOST])}{more}.\n"
            "Leave parts out with 'weights={path: ..., skip: [fc, units.*.neuron]}'; they stay as they are initialised."
        )
    network.load_state_dict(theirs, strict=False)


def _misfits(theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> Iterator[str]:
    for name, tensor in ours.items():
        if name not in theirs:
            yield f"{name} is not in the file"
        elif theirs[name].shape != tensor.shape:
            yield f"{name} is {list(theirs[name].shape)} in the file and {list(tensor.shape)} here"
    yield from (f"{name} is in the file alone" for name in theirs if name not in ours)


def _skipped(name: str, skip: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, one) or fnmatch.fnmatchcase(name, f"{one}.*") for one in skip)


def _parts(names: Mapping[str, Tensor]) -> list[str]:
    return list(dict.fromkeys(name.partition(".")[0] for name in names))


def _tensors(path: Path) -> dict[str, Tensor]:
    """By the network's names: of a checkpoint, or a file that holds the network's tensors alone."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"weights={path}: is damaged, or holds no tensors: {type(error).__name__}.") from error
    found = next((found[key] for key in ("state_dict", "model") if isinstance(found, dict) and key in found), found)
    if not isinstance(found, dict) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise UserError(f"weights={path}: holds no tensors by name.")
    return of_network(found) or found
