"""Spikes and synaptic operations, counted on what a network really computes while it is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from snnbench.energy.fan_out import Synaptic
from snnbench.energy.layer_counts import NeuronTally, Reduce, SynapseTally, spikes_in
from snnbench.energy.models import energy
from snnbench.energy.operations import Neurons, Synapses
from snnbench.neurons.base import SpikingNeuron, spiking_layers


class SynOps:
    """Counts the operations of convolutions, linear layers and attention between `start` and `stop`, without a sync.

    What a layer reads decides how it is counted:

    - before the first neuron has fired, real numbers: pixels, or the events of a frame. Each product is a
      multiply-accumulate (MAC), also with a zero, also in the padding, as FLOPs are counted. A static image passes
      here once, frames T times;
    - later, spikes, or sums of spikes (after the residual addition of SEW-ResNet): each spike is as many accumulates
      (AC) as there are outputs that it reaches; a 2 is two spikes;
    - averages of spikes: an accumulate wherever the average is not zero;
    - signed spikes: an accumulate of each, as of its absolute value;
    - anything else after the first neuron (a membrane led past it, a linear layer after a linear layer), and whatever
      follows a neuron with graded outputs, or spikes of a height that is not 1: MACs.

    The ANN counterpart sees one frame once. Where the network has `in_parts` set, its timesteps are parts of one input
    (the columns of an image), and the ANN makes as many passes.

    A product of two matrices in attention (`SpikeMatmul`) is counted as a linear layer is whose weights are the other
    matrix: an accumulate for each spike of the one and each column of the other, whatever stands there. Masks, and sums
    of spikes without a product, as in the attention of the Spike-driven Transformer, are not counted.

    Spikes and averages are recognised by their values alone, of which some thousands of each batch are looked at.
    Averages are those over 1, 4, 9, 16, 36, 49, 64 or 144 positions (`layer_counts.WINDOWS`) or over the whole map that
    fired last; over others, as of a 5x5 window, they count as real. In turn, real numbers that all happen to be such
    fractions and not negative count as averages, or as spikes where they are whole; so do rare ones that are not seen.

    Biases, norms, pools and the neurons themselves are not counted. Only modules are seen, not functional calls.
    Time may be folded into the batch; where it is not, it is dimension 0 and the batch dimension 1.

    Args:
        network: takes [B, C, H, W] or [T, B, C, H, W].

    Attributes:
        samples: how many the network has been shown since `start`, over all devices once they are summed.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.samples = 0
        self._synapses: dict[str, SynapseTally] = {}
        self._neurons: dict[str, NeuronTally] = {}
        self._hooks: list[RemovableHandle] = []
        self._batch, self._outputs, self._area = 1, "", 1

    def start(self) -> None:
        """Forget earlier counts and count from now on."""
        self.stop()
        self.samples = 0
        self._neurons = {name: NeuronTally(layer) for name, layer in spiking_layers(self.network).items()}
        in_parts = bool(getattr(self.network, "in_parts", False))
        self._synapses = {name: SynapseTally(layer, in_parts) for name, layer in synaptic_layers(self.network).items()}
        self._hooks.append(self.network.register_forward_pre_hook(self._begin))
        for neurons in self._neurons.values():
            self._hooks.append(neurons.layer.register_forward_hook(self._count_neurons(neurons)))
        for synapses in self._synapses.values():
            self._hooks.append(synapses.layer.register_forward_hook(self._count_synapses(synapses), with_kwargs=True))

    def stop(self) -> None:
        """Stop counting; the counts stay."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def sum_over_devices(self, reduce: Reduce) -> None:
        """Add up the counts of all devices; `reduce` sums a tensor over them."""
        for synapses in self._synapses.values():
            synapses.sum_over_devices(reduce)
        for neurons in self._neurons.values():
            neurons.sum_over_devices(reduce)
        device = next(self.network.parameters()).device
        self.samples = int(reduce(torch.tensor(float(self.samples), dtype=torch.float64, device=device)))

    def energy(self, model: str = "45nm") -> dict[str, Any] | None:
        """The `energy` block of result.json, or None if nothing was counted.

        Raises:
            UserError: there is no such model, or it cannot price one of the neurons.
        """
        if not self.samples:
            return None
        neurons = self.neurons() if model == "lemaire" else None
        parameters = parameter_counts(self.network)
        return energy(self.synapses(), neurons, samples=self.samples, parameters=parameters, model=model)

    def synapses(self) -> dict[str, Synapses]:
        """What was counted of each layer with synapses that ran, per sample."""
        return {name: tally.per_sample(self.samples) for name, tally in self._synapses.items() if tally.ran}

    def neurons(self) -> dict[str, Neurons]:
        """What was counted of each neuron layer that ran, per sample.

        Raises:
            UserError: what a neuron computes cannot be read off its step.
        """
        return {name: tally.per_sample(self.samples) for name, tally in self._neurons.items() if tally.ran}

    def _begin(self, network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0]
        self._batch = x.shape[0] if x.dim() == 4 else x.shape[1]
        self._outputs, self._area = "", 1
        self.samples += self._batch

    def _count_neurons(self, tally: NeuronTally) -> Any:
        def count(layer: nn.Module, inputs: Any, spikes: Tensor) -> None:
            self._outputs, self._area = tally.layer.outputs, spikes.shape[3:].numel()
            tally.add(spikes)

        return count

    def _count_synapses(self, tally: SynapseTally) -> Any:
        def count(layer: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor], outputs: Tensor) -> None:
            x = inputs[0] if inputs else named["input"]
            other = inputs[1] if len(inputs) > 1 else None
            real = self._outputs in (
                "",
                "scaled",
                "graded",
            )  # before the first neuron, or after one that hands on no ones
            if self._outputs == "signed":
                x = x.abs()
            tally.add(x, outputs, batch=self._batch, real=real, area=self._area, other=other)

        return count


class FiringRates:
    """Counts the spikes of every neuron layer between `start` and `stop`, on the device, without a sync.

    A signed spike counts as one, of whichever sign. Layers whose outputs are graded fire no spikes, and have no rate.
    """

    def __init__(self, network: nn.Module) -> None:
        self.layers = {name: layer for name, layer in spiking_layers(network).items() if layer.outputs != "graded"}
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
        def count(module: SpikingNeuron, inputs: Any, outputs: Tensor) -> None:
            total = spikes_in(module, outputs)
            self._spikes[name] = self._spikes[name] + total if name in self._spikes else total
            self._sites[name] = self._sites.get(name, 0) + outputs.numel()

        return count


def synaptic_layers(network: nn.Module) -> dict[str, Synaptic]:
    """Convolutions, linear layers and products of matrices by their names, without those inside a neuron."""
    inside = {module for neuron in spiking_layers(network).values() for module in neuron.modules()}
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, Synaptic) and module not in inside
    }


def parameter_counts(network: nn.Module) -> dict[str, int]:
    """How many parameters a network has: in "total", and of these in "neurons"."""
    layers = spiking_layers(network).values()
    return {
        "total": sum(p.numel() for p in network.parameters()),
        "neurons": sum(p.numel() for layer in layers for p in layer.parameters()),
    }
