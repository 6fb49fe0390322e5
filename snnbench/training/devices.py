"""What a run asks of the device that it computes on, looked at before anything is trained."""

from __future__ import annotations

import functools
import logging

import torch
from omegaconf import DictConfig

from snnbench import processes
from snnbench.errors import UserError
from snnbench.kernels.engines.registry import registered


def check_device(cfg: DictConfig, key: str = "trainer.accelerator") -> None:
    """Refuse an accelerator that is absent, an engine for another device, and a precision that it cannot compute in.

    Args:
        cfg: the run's config.
        key: what the accelerator is called on the command line.
    """
    wanted, precision = str(cfg.trainer.accelerator), str(cfg.trainer.precision)
    cuda = torch.cuda.is_available()
    if wanted in ("gpu", "cuda") and not cuda:
        raise UserError(f"{key}={wanted}: PyTorch sees no CUDA device here. Use cpu or auto.")
    on_cuda = cuda and wanted in ("auto", "gpu", "cuda")
    if on_cuda or wanted == "cpu" or not torch.accelerator.is_available():
        _check_engine(str(cfg.get("engine", "auto")), "cuda" if on_cuda else "cpu", f"{key}={wanted}")
    if cfg.get("cuda_graph") and not on_cuda and key == "trainer.accelerator":  # an evaluation replays nothing
        raise UserError(
            f"cuda_graph=true: needs a CUDA device, and this run computes without one ({key}={wanted}). Take "
            "cuda_graph=false, which resume= takes, too."
        )
    known = ("32-true", "32", "64-true", "16-mixed", "bf16-mixed")
    if precision not in known:
        raise UserError(f"trainer.precision={precision}: unknown. Allowed: {', '.join(known)}.")
    if precision == "16-mixed" and not on_cuda:
        raise UserError("trainer.precision=16-mixed: needs a CUDA device. Use bf16-mixed or 32-true on the CPU.")
    if precision == "bf16-mixed" and on_cuda and not torch.cuda.is_bf16_supported():
        raise UserError("trainer.precision=bf16-mixed: this GPU has no bfloat16. Use 16-mixed or 32-true.")
    if precision == "bf16-mixed" and (wanted == "cpu" or (wanted == "auto" and not torch.accelerator.is_available())):
        warn_of_bfloat16()


def _check_engine(engine: str, device: str, because: str) -> None:
    """Refuse an engine of another kind of device, before the run has a folder; a module may register others later."""
    other = [one.device for one in registered() if one.name == engine and one.device != device]
    if other:
        raise UserError(
            f"engine={engine}: is for {other[0]}, and this run computes on {device} ({because}). Use engine=auto."
        )


@functools.cache
def warn_of_bfloat16() -> None:
    """Say once where the CPU has no bfloat16. It is not refused: the numbers are right, and a few steps may do.

    Without its instructions oneDNN leaves convolutions to loops in PyTorch, 18 times slower than float32.
    """
    supported = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if processes.is_first() and not supported:
        logging.getLogger("snnbench").warning(
            "trainer.precision=bf16-mixed: this CPU has no bfloat16 instructions, so this will be some 18 times slower "
            "than 32-true. Set trainer.precision=32-true (another recipe), or train on a GPU."
        )
