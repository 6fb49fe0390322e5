"""How many additions one spike causes: the fan-out of each input position of a layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from snnbench.backbones.attention import SpikeMatmul

MATRICES = nn.Linear | SpikeMatmul
"""Layers whose inputs have no place."""
Synaptic = nn.Conv1d | nn.Conv2d | nn.Conv3d | MATRICES


def spatial_dims(layer: Synaptic) -> int:
    """The number of a layer's spatial dimensions: the last ones of its input, behind the channels."""
    return 0 if isinstance(layer, MATRICES) else len(layer.kernel_size)


def fan_in(layer: Synaptic, x: Tensor) -> int:
    """How many products make up one output of the layer on x."""
    return x.shape[-1] if isinstance(layer, SpikeMatmul) else layer.weight[0].numel()


def fan_out(layer: Synaptic, size: tuple[int, ...], columns: int) -> Tensor:
    """How many outputs each input position feeds: exact at borders, with stride, dilation, groups and any padding.

    It is the derivative of the sum of all outputs if every weight is 1. All channels have the same.

    Args:
        layer: a convolution, a linear layer or a product with another matrix.
        size: the input's spatial size.
        columns: the size of the output's last dimension: what a linear layer or a product feeds.

    Returns:
        float64 of shape `size` on the CPU; of shape () for a linear layer or a product.
    """
    if isinstance(layer, MATRICES):
        return torch.tensor(float(columns), dtype=torch.float64)
    groups = layer.groups  # one channel of each group stands for all of them
    with torch.inference_mode(False), torch.enable_grad():
        x = torch.zeros(1, groups, *size, dtype=torch.float64, requires_grad=True)
        weight = torch.ones(groups, 1, *layer.kernel_size, dtype=torch.float64)
        outputs = layer._conv_forward(x, weight, None)
        (count,) = torch.autograd.grad(outputs.sum(), x)
    return count[0, 0] * (layer.out_channels // groups)
