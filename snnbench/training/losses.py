"""Losses over logits per timestep. Each takes logits [T, B, K] and labels: int64 [B], or soft [B, K].

All are computed in float32, or in float64 where the logits are. A loss that reads more of the network than its logits
has a method `watch`, which is given the network once.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snnbench.backbones.residual import BasicBlock
from snnbench.check import number
from snnbench.errors import UserError


def one_hot(labels: Tensor, like: Tensor) -> Tensor:
    """Labels as probabilities [B, K] in the dtype of `like` [..., K]: soft labels as they are, int64 [B] as one-hot."""
    return (labels if labels.dim() == 2 else F.one_hot(labels, like.shape[-1])).to(like.dtype)


def _wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    target = labels.to(logits.dtype) if labels.dim() == 2 else labels
    return F.cross_entropy(logits, target, label_smoothing=label_smoothing)


def _smoothing(value: float) -> float:
    return number("loss.label_smoothing", value, "[0, 1)")


class MeanLogitCrossEntropy(nn.Module):
    """CE(mean_t o_t, y): the loss of the Guo line and of the DA-LIF precursor."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = _smoothing(label_smoothing)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return _cross_entropy(_wide(logits).mean(0), labels, self.label_smoothing)


class MeanLogitBinaryCrossEntropy(nn.Module):
    """BCE(mean_t o_t, y), averaged over batch and classes (FSTA-SNN on DVS128 Gesture, through timm).

    Args:
        label_smoothing: s in [0, 1); hard labels become 1 - s + s / K and s / K. Soft labels are taken as they are.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = _smoothing(label_smoothing)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        mean = _wide(logits).mean(0)
        target = one_hot(labels, mean)
        if labels.dim() == 1:
            target = target * (1 - self.label_smoothing) + self.label_smoothing / logits.shape[-1]
        return F.binary_cross_entropy_with_logits(mean, target)


class TET(nn.Module):
    """(1 - lam) mean_t CE(o_t, y) + lam MSE(o, m)  (Temporal Efficient Training, eq. 10; CLIF, AR-LIF).

    Args:
        lam: weight of the regulariser, in [0, 1].
        target: m, a number that every logit is pulled to, or "one_hot": the label itself.
        label_smoothing: for the cross-entropy only, in [0, 1).
    """

    def __init__(self, lam: float = 0.05, target: float | str = 1.0, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.lam = number("loss.lam", lam, "[0, 1]")
        self.target = number("loss.target", target, also=("one_hot",))
        self.label_smoothing = _smoothing(label_smoothing)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        flat = _wide(logits).flatten(0, 1)
        every = labels.repeat(len(logits), *[1] * (labels.dim() - 1))
        loss = (1 - self.lam) * _cross_entropy(flat, every, self.label_smoothing)
        return loss + self.lam * F.mse_loss(flat, self._regulariser_target(flat, every))

    def _regulariser_target(self, logits: Tensor, labels: Tensor) -> Tensor:
        if isinstance(self.target, str):
            return one_hot(labels, logits)
        return torch.full_like(logits, self.target)


class RateMSE(nn.Module):
    """MSE(mean_t o_t, one-hot y): PLIF's loss on the firing rate of its voters."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        mean = _wide(logits).mean(0)
        return F.mse_loss(mean, one_hot(labels, mean))


class InformationMaximization(nn.Module):
    """CE(mean_t o_t, y) + lam mean_l (mean(z_l) - 0.5 / T)^2  (IM-Loss; Guo et al., NeurIPS 2022).

    z_l is what the last neuron of a residual block reads, [T, B, C, H, W], for all blocks but the last, as in the
    authors' simplified code (yfguo91). The paper's surrogate, which grows steeper from epoch to epoch, is not in it.

    Args:
        lam: weight of the second term, at least 0.
        label_smoothing: for the cross-entropy only, in [0, 1).
    """

    def __init__(self, lam: float = 0.005, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.lam = number("loss.lam", lam, "[0, inf)")
        self.label_smoothing = _smoothing(label_smoothing)
        self._read: dict[int, Tensor] = {}

    def watch(self, network: nn.Module) -> None:
        """Read along in this network's forwards. A neuron that is read is no longer one operation with its norm.

        Raises:
            UserError: it has fewer than two residual blocks that fire after the sum.
        """
        blocks = [module for module in network.modules() if isinstance(module, BasicBlock)]
        if len(blocks) < 2:
            raise UserError(f"loss=im: {type(network).__name__} has not two residual blocks that fire after the sum.")
        for index, block in enumerate(blocks[:-1]):
            block.last_unit.neuron.register_forward_pre_hook(partial(self._keep, index))

    def _keep(self, index: int, neuron: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._read[index] = _wide(inputs[0]).mean()

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        if not self._read:
            raise RuntimeError("loss=im: no forward of the network that it watches came before")
        read, self._read = torch.stack(list(self._read.values())), {}
        shift = (read - 0.5 / len(logits)).square().mean()
        return _cross_entropy(_wide(logits).mean(0), labels, self.label_smoothing) + self.lam * shift
