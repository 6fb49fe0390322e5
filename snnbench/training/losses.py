"""Losses over logits per timestep. Each takes logits [T, B, K] and labels: int64 [B], or soft [B, K].

Of a network that makes n passes in training the logits are [T, n B, K], one pass of all samples behind the other.
All are computed in float32, or in float64 where the logits are.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snnbench.check import number
from snnbench.neurons.base import spiking_layers


@runtime_checkable
class Scheduled(Protocol):
    """A part that changes with training: a neuron, or a loss."""

    def set_progress(self, fraction: float) -> None:
        """Called at the start of each epoch with the share of epochs that are over: 0 in the first, 1 in the last."""


@runtime_checkable
class Follower(Protocol):
    """A loss that depends on the network, too."""

    def follow(self, network: nn.Module) -> None:
        """Called once by what trains `network`."""


def one_hot(labels: Tensor, like: Tensor) -> Tensor:
    """Labels as probabilities [B, K] in the dtype of `like` [..., K]: soft labels as they are, int64 [B] as one-hot."""
    return (labels if labels.dim() == 2 else F.one_hot(labels, like.shape[-1])).to(like.dtype)


def wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float) -> Tensor:
    target = labels.to(logits.dtype) if labels.dim() == 2 else labels
    return F.cross_entropy(logits, target, label_smoothing=label_smoothing)


def smoothing(value: float) -> float:
    return number("loss.label_smoothing", value, "[0, 1)")


def for_passes(labels: Tensor, logits: Tensor) -> Tensor:
    """The labels [B, ...] of logits [T, n B, K]: once more for each of the n passes that the network made."""
    return labels.repeat(logits.shape[1] // len(labels), *[1] * (labels.dim() - 1))


class MeanLogitCrossEntropy(nn.Module):
    """CE(mean_t o_t, y): the loss of the Guo line and of the DA-LIF precursor."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = smoothing(label_smoothing)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(wide(logits).mean(0), for_passes(labels, logits), self.label_smoothing)


class MeanLogitBinaryCrossEntropy(nn.Module):
    """BCE(mean_t o_t, y), averaged over batch and classes (FSTA-SNN on DVS128 Gesture, through timm).

    Args:
        label_smoothing: s in [0, 1); hard labels become 1 - s + s / K and s / K. Soft labels are taken as they are.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = smoothing(label_smoothing)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        mean = wide(logits).mean(0)
        target = one_hot(for_passes(labels, logits), mean)
        if labels.dim() == 1:
            target = target * (1 - self.label_smoothing) + self.label_smoothing / logits.shape[-1]
        return F.binary_cross_entropy_with_logits(mean, target)


class TET(nn.Module):
    """(1 - lam) mean_t CE(o_t, y) + lam MSE(o, m)  (Temporal Efficient Training, eq. 10; CLIF, AR-LIF).

    Args:
        lam: weight of the regulariser, in [0, 1].
        target: m, a number that every logit is pulled to; or "one_hot": the label itself; or "threshold": the mean of
            the network's learnable thresholds, its neurons' parameters `threshold`, 1 where none is or the loss follows
            no network (LT-SNN).
        label_smoothing: for the cross-entropy only, in [0, 1).
    """

    def __init__(self, lam: float = 0.05, target: float | str = 1.0, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.lam = number("loss.lam", lam, "[0, 1]")
        self.target = number("loss.target", target, also=("one_hot", "threshold"))
        self.label_smoothing = smoothing(label_smoothing)
        self._network: tuple[nn.Module, ...] = ()  # no submodule

    def follow(self, network: nn.Module) -> None:
        self._network = (network,)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        flat = wide(logits).flatten(0, 1)
        every = for_passes(labels, logits).repeat(len(logits), *[1] * (labels.dim() - 1))
        loss = (1 - self.lam) * cross_entropy(flat, every, self.label_smoothing)
        return loss + self.lam * F.mse_loss(flat, self._regulariser_target(flat, every))

    def _regulariser_target(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.target == "one_hot":
            return one_hot(labels, logits)
        target = self._threshold() if isinstance(self.target, str) else self.target
        return torch.ones_like(logits) * target

    def _threshold(self) -> Tensor | float:
        layers = [layer for network in self._network for layer in spiking_layers(network).values()]
        found = [p.detach() for layer in layers for name, p in layer.named_parameters() if name == "threshold"]
        return torch.stack(found).mean() if found else 1.0


class RateMSE(nn.Module):
    """MSE(mean_t o_t, one-hot y): PLIF's loss on the firing rate of its voters."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        mean = wide(logits).mean(0)
        return F.mse_loss(mean, one_hot(for_passes(labels, logits), mean))


class TMC(nn.Module):
    """mean_t [CE(o_t, y) + (p_t / q_t)^((T - t) / T)], t from 0  (Temporal Model Calibration; Yan et al., ICML 2025).

    p_t is the batch's mean of the label's probability, q_t that of all others' together, in the softmax of the mean of
    o_0 ... o_t, of which o_t alone has a gradient.
    """

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        labels, logits = for_passes(labels, logits), wide(logits)
        T, seen = len(logits), logits.detach()
        count = torch.arange(1, T + 1, device=logits.device, dtype=logits.dtype)
        means = (torch.stack(list(accumulate(seen))) + (logits - seen)) / count[:, None, None]
        shares, own = means.softmax(-1), one_hot(labels, logits)
        ratio = (shares * own).sum(-1).mean(-1) / (shares * (1 - own)).sum(-1).mean(-1)
        every = labels.repeat(T, *[1] * (labels.dim() - 1))
        return cross_entropy(logits.flatten(0, 1), every, 0.0) + (ratio ** (1 - (count - 1) / T)).mean()


class TKS(nn.Module):
    """(1 - a) CE(mean_t o_t, y) + a temperature^2 mean_t CE(o_t, softmax(z / temperature)): Temporal Knowledge Sharing.

    z is the sum of the logits of those timesteps that are right by themselves, 0 where none is; it has a gradient, too.
    a grows linearly with training, from 0 in the first epoch to `lam` in the last. In evaluation mode the loss is
    CE(mean_t o_t, y). Dong et al., IEEE TAI 2024, arXiv 2304.06540.

    Args:
        lam: a of the last epoch, in [0, 1].
        temperature: of the timesteps' shared target, above 0.
    """

    def __init__(self, lam: float, temperature: float) -> None:
        super().__init__()
        self.lam = number("loss.lam", lam, "[0, 1]")
        self.temperature = number("loss.temperature", temperature, "(0, inf)")
        self.progress = 0.0

    def set_progress(self, fraction: float) -> None:
        self.progress = fraction

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        labels, logits = for_passes(labels, logits), wide(logits)
        together = cross_entropy(logits.mean(0), labels, 0.0)
        if not self.training:
            return together
        share, right = self.lam * self.progress, labels if labels.dim() == 1 else labels.argmax(-1)
        taught = (logits * (logits.argmax(-1) == right)[..., None]).sum(0)
        target = (taught / self.temperature).softmax(-1)
        apart = -(target * logits.log_softmax(-1)).sum(-1).mean()
        return (1 - share) * together + share * self.temperature**2 * apart


class Consistent(nn.Module):
    """A loss on both passes of a network, and how far they are apart (LTMD).

    With p and q the time-mean logits [B, K] of the two passes: (loss_p + loss_q) / 2 + weight (KL(q || p) +
    KL(p || q)) / 2, the divergences of their softmax averaged over batch and classes, as the official code does.
    Of a network that makes one pass, as in evaluation, the loss alone.

    Args:
        loss: of one pass.
        weight: of the divergences, at least 0.
    """

    def __init__(self, loss: nn.Module, weight: float = 0.5) -> None:
        super().__init__()
        self.loss = loss
        self.weight = number("loss.weight", weight, "[0, inf)")

    def follow(self, network: nn.Module) -> None:
        if isinstance(self.loss, Follower):
            self.loss.follow(network)

    def set_progress(self, fraction: float) -> None:
        if isinstance(self.loss, Scheduled):
            self.loss.set_progress(fraction)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        loss: Tensor = self.loss(logits, labels)
        if logits.shape[1] == len(labels):
            return loss
        p, q = (part.log_softmax(-1) for part in wide(logits).mean(0).chunk(2))
        apart = F.kl_div(p, q, log_target=True, reduction="mean") + F.kl_div(q, p, log_target=True, reduction="mean")
        return loss + self.weight * apart / 2
