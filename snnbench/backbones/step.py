"""How a network's training step is computed: nothing here changes what is computed, but for rounding."""

from __future__ import annotations

from typing import Any

from torch import nn

from snnbench.backbones.base import Backbone
from snnbench.backbones.layers import AdaptiveAvgPool2d, AvgPool2d, Conv2d, MaxPool2d, SpikingUnit
from snnbench.backbones.norms import BatchNorm
from snnbench.config import check_step
from snnbench.kernels.engines.registry import REFERENCE
from snnbench.kernels.norms.norm import available

DEVICES: dict[str | bool, tuple[str, ...]] = {"auto": ("cpu",), True: ("cpu", "cuda"), False: ()}
"""Where norms and neurons are fused."""


def set_step(
    network: nn.Module, *, engine: str = "auto", layout: str = "auto", fuse: str | bool = "auto", memory: str = "floats"
) -> None:
    """Choose how the network's layers run; neurons are told their engine when they are made.

    Args:
        network: its convolutions, pools, norms and spiking units are told.
        engine: "reference" leaves everything to PyTorch's own layers.
        layout: of the frames in memory, see `Backbone`. auto keeps them contiguous on a CPU where norms are PyTorch's
            own, which are less exact there with channels last (but not compiled by torch.compile).
        fuse: whether a norm and the neuron behind it run as one operation; auto does so on a CPU.
        memory: what is kept of a convolution of spikes until the backward pass: with "bits" its input's bits alone, its
            output is computed again; else the output, too.

    Raises:
        UserError: a value is none of these.
    """
    own = engine != REFERENCE
    check_step(engine=engine, layout=layout, fuse=fuse, memory=memory)
    fuses, bits = bool(fuse) and own, memory == "bits"
    last_on = ("cpu", "cuda") if fuses and available() else ("cuda",) if own else ()
    settings: dict[type[nn.Module], dict[str, Any]] = {
        Backbone: {"layout": layout, "last_on": last_on},
        Conv2d: {"engine": engine, "keeps_recipe": bits},
        **{pool: {"engine": engine} for pool in (AvgPool2d, MaxPool2d, AdaptiveAvgPool2d)},
        BatchNorm: {"fuses": fuses},
        SpikingUnit: {"fuses": DEVICES[fuse] if own else ()},
    }
    for module in network.modules():
        for kind, values in settings.items():
            if isinstance(module, kind):
                for name, value in values.items():
                    setattr(module, name, value)
