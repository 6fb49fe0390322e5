"""The counts of one layer: what its inputs were, how many operations they cost, and how often it fired."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from snnbench.backbones.attention import SpikeMatmul
from snnbench.energy.fan_out import MATRICES, Synaptic, fan_in, fan_out, spatial_dims
from snnbench.energy.neuron_ops import neuron_work
from snnbench.energy.operations import Neurons, Synapses
from snnbench.neurons import SpikingNeuron

# Averages of spikes are multiples of 1 / n: of windows of 2x2, 3x3, ... 12x12, and of a 2x2 window of 2x2 windows.
WINDOWS = (1, 4, 9, 16, 36, 49, 64, 144)
LOOKED_AT = 2**14  # values of each batch that are tested for being multiples
PIECE = 2**20  # values that are summed at once: the comparison with zero needs as much memory again
ROUNDING = 4 * torch.finfo(torch.float32).eps

Reduce = Callable[[Tensor], Tensor]


class SynapseTally:
    """Sums over the calls of one convolution, linear layer or product of spikes with another matrix.

    What depends on values stays on the device until it is asked for; what depends on sizes is counted here.

    Args:
        layer: whose calls are counted.
        in_parts: whether the timesteps are parts of one input, so that the ANN counterpart makes every pass, too.
    """

    def __init__(self, layer: Synaptic, in_parts: bool) -> None:
        self.layer, self.in_parts = layer, in_parts
        self._sizes: Counter[str] = Counter()
        self._values: Tensor | None = None
        self._fan_out: dict[tuple[int, ...], Tensor] = {}
        self._weights = 0 if isinstance(layer, SpikeMatmul) else layer.weight.numel()

    @property
    def ran(self) -> bool:
        return self._values is not None

    def add(
        self, x: Tensor, outputs: Tensor, *, batch: int, real: bool, area: int, other: Tensor | None = None
    ) -> None:
        """Count one call.

        Args:
            x, outputs: of the layer; channels and space last, before them time and batch, or the two folded.
            other: the matrix that a product has in the place of weights.
            batch: number of samples.
            real: whether no neuron has fired yet, so that x is not made of spikes.
            area: positions of the map that the last neurons fired on: what a global average divides by.
        """
        x = x.detach()
        dims = x.dim() - spatial_dims(self.layer)
        frames = _frames(x.shape[: dims - 1], batch)
        dense = outputs.numel() * fan_in(self.layer, x)
        if other is not None:
            self._weights = other.numel() // (frames * batch)
        self._sizes.update(inputs=x.numel(), dense=dense, spiking=0 if real else dense)
        self._sizes.update(
            inputs_once=x.numel() // frames, outputs_once=outputs.numel() // frames, dense_once=dense // frames
        )
        nonzero, spikes = _sums(x.reshape(-1, *x.shape[dims - 1 :]))
        if real:
            values = torch.cat([nonzero.sum()[None], nonzero.new_zeros(5 + len(WINDOWS))])
        else:
            reached = self._reached((*x.shape[dims:], outputs.shape[-1]), x.device)
            sums = torch.stack([nonzero.sum(), (nonzero * reached).sum(), spikes.sum(), (spikes * reached).sum()])
            values = torch.cat([sums.new_zeros(1), sums, _misses(x, area)])
        self._values = values if self._values is None else self._values + values

    def sum_over_devices(self, reduce: Reduce) -> None:
        """Add up the counts of all devices."""
        if self._values is None:
            return
        keys = sorted(self._sizes)
        sums = reduce(torch.cat([self._values, self._values.new_tensor([float(self._sizes[key]) for key in keys])]))
        self._values, sizes = sums[: -len(keys)], sums[-len(keys) :].tolist()
        self._sizes = Counter({key: int(size) for key, size in zip(keys, sizes, strict=True)})

    def per_sample(self, samples: int) -> Synapses:
        """The counts divided by the number of samples."""
        assert self._values is not None
        layer, size = self.layer, self._sizes
        passes = size["inputs"] / size["inputs_once"]
        ann_passes = passes if self.in_parts else 1.0
        real_nonzero, nonzero, ac_of_nonzero, spikes, ac_of_spikes, *misses = self._values.tolist()
        mac = size["dense"] - size["spiking"]
        if not size["spiking"] or all(misses):
            kind, events, ac, mac = "real", 0.0, 0.0, size["dense"]
        elif misses[0]:
            kind, events, ac = "averages", nonzero, ac_of_nonzero
        else:
            kind, events, ac = "spikes" if spikes == nonzero else "sums", spikes, ac_of_spikes
        return Synapses(
            input=kind,
            input_rate=(real_nonzero + nonzero) / size["inputs"],
            ac=ac / samples,
            mac=mac / samples,
            ann_mac=size["dense_once"] * ann_passes / samples,
            events=events / samples,
            inputs=size["inputs_once"] / samples,
            outputs=size["outputs_once"] / samples,
            passes=passes,
            ann_passes=ann_passes,
            weights=self._weights,
            biases=0 if layer.bias is None else layer.bias.numel(),
            kernel=0 if isinstance(layer, MATRICES) else layer.out_channels * math.prod(layer.kernel_size),
        )

    def _reached(self, sizes: tuple[int, ...], device: torch.device) -> Tensor:
        """The fan-out of each position, made once for each size of input and output."""
        if sizes not in self._fan_out:
            *size, columns = sizes
            self._fan_out[sizes] = fan_out(self.layer, tuple(size), columns).to(device)
        return self._fan_out[sizes]


class NeuronTally:
    """Sums over the calls of one neuron layer."""

    def __init__(self, layer: SpikingNeuron) -> None:
        self.layer = layer
        self._sites = self._updates = 0
        self._spikes: Tensor | None = None

    @property
    def ran(self) -> bool:
        return self._spikes is not None

    def add(self, spikes: Tensor) -> None:
        """Count one call from its spikes [T, B, ...]."""
        self._updates += spikes.numel()
        self._sites += spikes[0].numel()
        total = spikes.count_nonzero().double()
        self._spikes = total if self._spikes is None else self._spikes + total

    def sum_over_devices(self, reduce: Reduce) -> None:
        """Add up the counts of all devices."""
        if self._spikes is None:
            return
        sums = reduce(torch.stack([self._spikes, *self._spikes.new_tensor([float(self._sites), float(self._updates)])]))
        self._spikes, (self._sites, self._updates) = sums[0], map(int, sums[1:].tolist())

    def per_sample(self, samples: int) -> Neurons:
        """The counts divided by the number of samples.

        Raises:
            UserError: what the neuron computes cannot be read off its step.
        """
        assert self._spikes is not None
        steps, spikes = self._updates / self._sites, float(self._spikes)
        return Neurons(self._sites / samples, steps, spikes / samples, **neuron_work(self.layer))


def _frames(leading: torch.Size, batch: int) -> int:
    """How many timesteps an input holds, from its dimensions before the channels."""
    if len(leading) > 1 and leading[1] == batch:
        return leading[0]
    return max(1, leading[0] // batch) if leading else 1


def _sums(frames: Tensor) -> tuple[Tensor, Tensor]:
    """How many values of [N, C, *size] are not zero, and their sum: both for each position, float64 of shape `size`.

    Exact for natural numbers below 16, since no sum of a piece in float32 reaches 2^24.
    """
    wide = torch.promote_types(frames.dtype, torch.float32)
    nonzero = spikes = torch.zeros(frames.shape[2:], dtype=torch.float64, device=frames.device)
    for piece in frames.split(max(1, PIECE // max(1, frames.shape[1:].numel()))):
        mask = torch.ne(piece, 0, out=torch.empty_like(piece))
        nonzero = nonzero + mask.sum((0, 1), dtype=wide).double()
        spikes = spikes + piece.sum((0, 1), dtype=wide).double()
    return nonzero, spikes


def _misses(x: Tensor, area: int) -> Tensor:
    """For each size n of window, how many of the values that are looked at are not a natural number over n.

    Compared after rounding to x's own type, so that averages in half precision are recognised, too.
    """
    flat = x.flatten()
    values = flat[:: flat.numel() // LOOKED_AT | 1].double()[:, None]
    windows = _windows(area, x.device)
    nearest = ((values * windows).round() / windows).to(x.dtype).double()
    hits = (values >= 0) & ((values - nearest).abs() <= ROUNDING * values)
    return (~hits).sum(0).double()


@lru_cache(maxsize=256)
def _windows(area: int, device: torch.device) -> Tensor:
    """Kept, since a copy to the device is a sync."""
    return torch.tensor([*WINDOWS, area], dtype=torch.float64, device=device)
