"""Weights of torchvision's ResNets, which have no spikes, under the names of a SEW-ResNet."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from snnbench.backbones.sew import SEWResNet

NAMES = (  # of torchvision's; the names of a SEW-ResNet; a block's number counts through all stages
    (r"conv1\.(.+)", r"conv.\1"),
    (r"bn1\.(.+)", r"unit.norm.bn.\1"),
    (r"block(\d+)\.conv(\d)\.(.+)", r"blocks.\1.conv\2.\3"),
    (r"block(\d+)\.bn(\d)\.(.+)", r"blocks.\1.unit\2.norm.bn.\3"),
    (r"block(\d+)\.downsample\.0\.(.+)", r"blocks.\1.shortcut.0.\2"),
    (r"block(\d+)\.downsample\.1\.(.+)", r"blocks.\1.shortcut.1.norm.bn.\2"),
)
BLOCK = re.compile(r"layer(\d+)\.(\d+)\.")


def for_network(tensors: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Those of one of torchvision's ResNets under the names of `network`, if this is a SEW-ResNet; else as they are.

    PSN's code loads them so: convolutions, norms with their statistics, and the linear layer keep their values, and the
    norm of a shortcut is the one before its neuron. Older files do not count a norm's batches, which changes nothing.
    """
    if not isinstance(network, SEWResNet) or "layer1.0.conv1.weight" not in tensors:
        return dict(tensors)
    places = sorted({tuple(map(int, found.groups())) for name in tensors if (found := BLOCK.match(name))})
    numbers = {f"layer{stage}.{block}.": f"block{n}." for n, (stage, block) in enumerate(places)}
    renamed = {}
    for name, tensor in tensors.items():
        name = BLOCK.sub(lambda found: numbers[found[0]], name)
        for theirs, ours in NAMES:
            name, times = re.subn(f"^{theirs}$", ours, name)
            if times:
                break
        renamed[name] = tensor
        if name.endswith(".running_mean"):
            renamed.setdefault(name.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
    return renamed
