"""Neurons of SpikingJelly and of snnTorch in the places of the project's: all else of a network stays as it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jelly
import torch
from torch import Tensor, nn

from snnbench.neurons import CLIF, KLIF, LIF, PLIF, SpikingNeuron
from snnbench.neurons.base import spiking_layers
from snnbench.neurons.surrogate import ATan, Rectangle, Sigmoid, Surrogate


@dataclasses.dataclass(frozen=True)
class Library:
    """Where a neuron comes from.

    Attributes:
        make: the layer that takes a neuron's place, from [T, B, ...] to spikes; None where there is none.
        same: whether that layer claims to compute the same.
    """

    make: Callable[[SpikingNeuron], nn.Module | None]
    same: bool = True


def libraries(device: str) -> dict[str, Library]:
    """Those that are installed, by name; SpikingJelly's once for each backend that its LIF can have in this process."""
    found = {}
    try:
        for name, backend in jelly.backends("lif", device).items():
            found[f"spikingjelly-{name}"] = Library(lambda layer, backend=backend: spikingjelly(layer, backend))
    except ImportError:
        pass
    try:
        import snntorch as _  # noqa: F401

        found["snntorch"] = Library(snntorch_, same=False)
    except ImportError:
        pass
    return found


def put_into(net: nn.Module, library: Library) -> bool:
    """Replace all neurons of the network; whether there is one for each of them."""
    made = {name: library.make(layer) for name, layer in spiking_layers(net).items()}
    if any(layer is None for layer in made.values()):
        return False
    for name, layer in made.items():
        parent, _, child = name.rpartition(".")
        setattr(net.get_submodule(parent), child, layer)
    return True


class FromRest(nn.Module):
    """SpikingJelly's layer, which begins each sequence anew."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        self.layer.reset()
        spikes: Tensor = self.layer(x)
        return spikes


def spikingjelly(layer: SpikingNeuron, backend: str | None) -> nn.Module | None:
    """The same neuron of SpikingJelly's, in multi-step mode; None where it has no equal one."""
    from spikingjelly.activation_based import neuron

    slope = _slope(layer.spike)
    if slope is None or layer.v_reset not in (None, 0.0):  # theirs starts at v_reset, ours at 0
        return None
    shared = {"v_threshold": layer.v_th, "surrogate_function": slope, "step_mode": "m"}
    reset = {"v_reset": layer.v_reset, "detach_reset": layer.detach_reset}
    made: Any = None
    if type(layer) is LIF and layer.leak is None:
        made = neuron.LIFNode(tau=layer.tau, decay_input=layer.decay_input, **reset, **shared)
    elif type(layer) is PLIF:
        made = neuron.ParametricLIFNode(init_tau=layer.tau, decay_input=layer.decay_input, **reset, **shared)
        made.w = layer.w
    elif type(layer) is KLIF and layer.relu and layer.k is not None:
        options = {"tau": layer.tau, "decay_input": layer.decay_input, "scale_reset": layer.scale_reset}
        made = neuron.KLIFNode(**options, **reset, **shared)
        made.k = layer.k
    elif type(layer) is CLIF:
        made = neuron.ComplementaryLIFNode(tau=layer.tau, **shared)
    if made is None:
        return None
    if backend is not None:
        made.backend = backend
    return FromRest(made)


def _slope(spike: Surrogate) -> Any:
    from spikingjelly.activation_based import surrogate

    if type(spike) is ATan:
        return surrogate.ATan(alpha=spike.alpha)
    if type(spike) is Sigmoid:
        return surrogate.Sigmoid(alpha=spike.alpha)
    if type(spike) is Rectangle and spike == Rectangle():
        return surrogate.Rect(alpha=1.0)
    return None


class Leaky(nn.Module):
    """snnTorch's Leaky in the loop over time that its documentation teaches."""

    def __init__(self, leaky: Any, gain: float) -> None:
        super().__init__()
        self.leaky, self.gain = leaky, gain

    def forward(self, x: Tensor) -> Tensor:
        v, spikes = self.leaky.init_leaky(), []
        for current in x:
            s, v = self.leaky(current * self.gain if self.gain != 1 else current, v)
            spikes.append(s)
        return torch.stack(spikes)


def snntorch_(layer: SpikingNeuron) -> nn.Module | None:
    """A leaky neuron of the same decay; None where there is no such one.

    It does not compute the same: its reset comes a timestep later, takes the input of that timestep along where it is
    to zero, and lets no gradient through.
    """
    import snntorch

    if type(layer) is not LIF or type(layer.spike) is not ATan or layer.v_reset not in (None, 0.0):
        return None
    beta = layer.leak if layer.leak is not None else 1 - 1 / layer.tau
    gain = 1 / layer.tau if layer.leak is None and layer.decay_input else 1.0
    leaky = snntorch.Leaky(
        beta=beta,
        threshold=layer.v_th,
        reset_mechanism="subtract" if layer.v_reset is None else "zero",
        spike_grad=snntorch.surrogate.atan(alpha=layer.spike.alpha),
    )
    return Leaky(leaky, gain)
