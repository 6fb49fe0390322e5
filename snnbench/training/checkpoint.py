"""Checkpoints that are whole or absent."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from snnbench import commands
from snnbench.errors import UserError
from snnbench.files import atomic
from snnbench.runs.folder import rebased
from snnbench.runs.schema import CHECKPOINTS

_NETWORK = "network."  # before the names of the network's tensors, which the Lightning module holds by this name
_FOLDER = "run_folder"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, syncs, renames: a full disk or a kill leaves the previous checkpoint whole.

    A checkpoint knows its run's folder, so that the paths in its callbacks' states follow when the folder is moved:
    Lightning forgets what was best under another path.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        target = Path(path)
        buffer = io.BytesIO()
        torch.save({**checkpoint, _FOLDER: _run_folder(target)}, buffer)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic(target) as file:
                file.write(buffer.getbuffer())
        except OSError as error:
            cause = error.__cause__ or error
            reason = getattr(cause, "strerror", None) or cause
            raise CheckpointError(
                f"cannot write {target}: {reason}. The previous checkpoint is untouched; free some "
                f"space and go on with: {commands.train(resume=target.parent.parent)}"
            ) from error

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        checkpoint = super().load_checkpoint(path, *args, **kwargs)
        if _FOLDER in checkpoint:
            checkpoint["callbacks"] = rebased(checkpoint["callbacks"], checkpoint[_FOLDER], _run_folder(Path(path)))
        return checkpoint


def _run_folder(path: Path) -> str:
    """The run of <run>/checkpoints/<name>.ckpt, without symbolic links, as in Lightning's states."""
    return os.path.realpath(path.parent.parent)


class CheckpointError(UserError):
    """A checkpoint could not be written or read; the message names it."""


def last_checkpoint(folder: Path) -> ModelCheckpoint:
    """The callback that keeps `last.ckpt`, rewritten after every epoch, whatever the metric does.

    It must run after all others, for it is their states at the end of the epoch that a resumed run goes on from.
    """
    return ModelCheckpoint(
        dirpath=folder / CHECKPOINTS, filename="last", monitor=None, save_top_k=1, every_n_epochs=1,
        save_on_train_epoch_end=True, enable_version_counter=False,
    )  # fmt: skip


def remove_leftovers(folder: Path) -> None:
    """Delete what a process left that was killed while it wrote a checkpoint; the folder's lock must be held."""
    for path in (folder / CHECKPOINTS).glob(".*.ckpt.*"):
        path.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint at `path`, on the CPU.

    Raises:
        CheckpointError: it is missing, or damaged.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint.")
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint["state_dict"], checkpoint["epoch"]
    except Exception as error:
        others = sorted(str(p) for p in path.parent.glob("*.ckpt") if p != path)
        hint = f" Others in the folder: {', '.join(others)}." if others else ""
        raise CheckpointError(
            f"{path} ({os.path.getsize(path)} bytes) is damaged: {type(error).__name__}.{hint} "
            "Delete it to start this run again from the beginning, or copy an intact one over it."
        ) from error
    return checkpoint


def of_network(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The network's tensors in a checkpoint's `state_dict`, by their names in the network; empty where it has none."""
    return {name.removeprefix(_NETWORK): tensor for name, tensor in state.items() if name.startswith(_NETWORK)}
