"""Networks whose neurons fire what a test tells them."""

import torch
from torch import nn

from snnbench.energy.counter import SynOps
from snnbench.neurons import IF


class Scripted(IF):
    """Fires what it is told, whatever comes in."""

    def __init__(self, spikes):
        super().__init__()
        self.spikes = spikes

    def forward(self, x, state=None):
        return self.spikes


class Chain(nn.Module):
    """Its parts one after the other; a function may stand between modules. Static images stay a single frame."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = nn.ModuleList(part for part in parts if isinstance(part, nn.Module))
        self.order = parts

    def forward(self, x):
        x = x[None] if x.dim() == 4 else x
        for part in self.order:
            x = part(x)
        return x


def count(net, *batches):
    synops = SynOps(net)
    synops.start()
    with torch.no_grad():
        for x in batches:
            net(x)
    synops.stop()
    return synops
