"""Weights in a file that holds nothing but numbers (safetensors)."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from snnbench import __version__
from snnbench.errors import UserError
from snnbench.files import atomic

WEIGHTS = "model.safetensors"  # as model hubs have it


def write_weights(path: Path, state: dict[str, Tensor], epoch: int) -> None:
    """Write the parameters and buffers of a network, and the epoch that they are of."""
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
    about = {"format": "pt", "epoch": str(epoch), "snnbench": __version__}
    with atomic(path) as file:
        file.write(save(tensors, about))


def read_weights(path: Path) -> tuple[dict[str, Tensor], int]:
    """Parameters and buffers by name, and the epoch that they are of, counted from 0.

    Raises:
        UserError: the file is damaged, or none of `write_weights`.
    """
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, int(about["epoch"])  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(f"{path}: damaged, or not exported by snnbench ({type(error).__name__}: {error}).") from error
