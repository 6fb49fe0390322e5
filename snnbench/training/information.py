"""IM-Loss: a loss that reads what neurons of the network read, beside its logits."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.backbones.residual import BasicBlock
from snnbench.check import number
from snnbench.errors import UserError
from snnbench.training.losses import cross_entropy, for_passes, smoothing, wide


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
        self.label_smoothing = smoothing(label_smoothing)
        self._read: dict[int, Tensor] = {}

    def follow(self, network: nn.Module) -> None:
        """Read along in this network's forwards. A neuron that is read is no longer one operation with its norm.

        Raises:
            UserError: it has fewer than two residual blocks that fire after the sum.
        """
        blocks = [module for module in network.modules() if isinstance(module, BasicBlock)]
        if len(blocks) < 2:
            raise UserError(
                f"loss=im: {type(network).__name__} has not two residual blocks that fire after the sum. Take a ResNet "
                "that has, such as backbone=resnet19."
            )
        for index, block in enumerate(blocks[:-1]):
            block.last_unit.neuron.register_forward_pre_hook(partial(self._keep, index))

    def _keep(self, index: int, neuron: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._read[index] = wide(inputs[0]).mean()

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        if not self._read:
            raise RuntimeError("loss=im: no forward of the network that it follows came before")
        read, self._read = torch.stack(list(self._read.values())), {}
        shift = (read - 0.5 / len(logits)).square().mean()
        together = cross_entropy(wide(logits).mean(0), for_passes(labels, logits), self.label_smoothing)
        return together + self.lam * shift
