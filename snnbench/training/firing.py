"""Firing rates per layer, measured while a network runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from snnbench.neurons import SpikingNeuron


def spiking_layers(network: nn.Module) -> dict[str, SpikingNeuron]:
    """The neuron layers by their names in the network, in definition order."""
    return {name: module for name, module in network.named_modules() if isinstance(module, SpikingNeuron)}


class FiringRates:
    """Counts the spikes of every neuron layer between `start` and `stop`, on the device, without a sync."""

    def __init__(self, network: nn.Module) -> None:
        self.layers = spiking_layers(network)
        self._hooks: list[RemovableHandle] = []
        self._spikes: dict[str, Tensor] = {}
        self._sites: dict[str, int] = {}

    def start(self) -> None:
        """Forget earlier counts and count from now on."""
        self.stop()
        self._spikes, self._sites = {}, {}
        for name, layer in self.layers.items():
            self._hooks.append(layer.register_forward_hook(self._counter(name)))

    def stop(self) -> None:
        """Stop counting; the counts stay."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def sum_over_devices(self, reduce: Callable[[Tensor], Tensor]) -> None:
        """Add up the counts of all devices; `reduce` sums a tensor over them."""
        for name, spikes in self._spikes.items():
            both = reduce(torch.stack([spikes, spikes.new_tensor(float(self._sites[name]))]))
            self._spikes[name], self._sites[name] = both[0], int(both[1])

    def rates(self) -> dict[str, float]:
        """Spikes per neuron and timestep, for each layer that ran."""
        return {name: float(self._spikes[name]) / sites for name, sites in self._sites.items() if sites}

    def mean(self) -> float | None:
        """Spikes per neuron and timestep over the whole network, or None if nothing ran."""
        sites = sum(self._sites.values())
        return sum(float(spikes) for spikes in self._spikes.values()) / sites if sites else None

    def _counter(self, name: str) -> Any:
        def count(module: nn.Module, inputs: Any, spikes: Tensor) -> None:
            total = spikes.sum(dtype=torch.float32).double()
            self._spikes[name] = self._spikes[name] + total if name in self._spikes else total
            self._sites[name] = self._sites.get(name, 0) + spikes.numel()

        return count
