"""A network in the neuromorphic intermediate representation (NIR), which simulators and chips read.

NIR has differential equations; here one of their Euler steps of dt = 1 is one timestep. Its neurons are IF and LIF with
a reset to a value, so that IF, LIF and PLIF with a hard reset can be said, and others cannot. Norms are folded into the
convolutions before them. Written is what is a chain of convolutions, these neurons, average pools and linear layers, in
which each takes the very tensor that the one before gave; and only after the graph was run and gave the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snnbench.backbones.base import Backbone
from snnbench.backbones.heads import Dropout, Voting
from snnbench.backbones.layers import SpikingUnit
from snnbench.errors import UserError
from snnbench.models.nir_run import simulate
from snnbench.neurons.base import SpikingNeuron, spiking_layers
from snnbench.neurons.lif import IF, LIF
from snnbench.neurons.plif import PLIF

CLOSE = 1e-4  # of the largest logit; both are computed in float64, from weights that are stored as float32


@dataclass
class Call:
    """A layer as the network calls it, with the shapes of what goes in and comes out, without T and B."""

    layer: nn.Module
    before: tuple[int, ...]
    after: tuple[int, ...]


def to_nir(network: nn.Module) -> Any:
    """The network, in evaluation mode, as a `nir.NIRGraph`; its output are the logits of each timestep.

    Raises:
        UserError: the `nir` package is not installed; a layer that NIR has no word for, by name; or no chain of layers.
    """
    try:
        import nir
    except ImportError as error:
        raise UserError("NIR needs the package nir: pip install 'snnbench[nir]'.") from error
    if not isinstance(network, Backbone):
        raise UserError(f"NIR: {type(network).__name__} is no Backbone, which says what frames it takes.")
    training, dtype = network.training, next(network.parameters()).dtype
    frames = torch.rand(network.T, 2, network.in_channels, *network.image_size, dtype=torch.float64)
    try:
        network.eval().double()
        nodes = [nir.Input({"input": np.array(frames.shape[2:])}), *_nodes(nir, network, frames)]
        with torch.no_grad():
            expected = network(frames)
    finally:
        network.train(training).to(dtype)
    nodes.append(nir.Output({"output": np.array(expected.shape[2:])}))
    difference = (simulate(nodes, frames) - expected).abs().max()
    if not difference <= CLOSE * expected.abs().max():
        raise UserError(f"NIR: the graph is off the network by {float(difference):.1g}. Please report this.")
    return nir.NIRGraph.from_list(*nodes)


def write_nir(path: Path, graph: Any) -> None:
    """Write a `nir.NIRGraph` as the HDF5 file that `nir.read` takes."""
    import nir

    nir.write(str(path), graph)


def _nodes(nir: Any, network: nn.Module, frames: Tensor) -> list[Any]:
    norms = {unit.norm for unit in network.modules() if isinstance(unit, SpikingUnit)}
    nodes: list[Any] = []
    folded = None  # the convolution that a norm behind it goes into
    shape = tuple(frames.shape[2:])
    for call in _calls(network, norms, frames):
        if call.layer in norms:
            if folded is None:
                raise UserError(f"NIR: has no {type(call.layer).__name__} that is not behind a convolution.")
            _fold(folded, call.layer, len(frames))
        else:
            nodes += [nir.Flatten({"input": np.array(shape)}, 0, -1)] if len(shape) > len(call.before) else []
            nodes += _node(nir, call)
        folded = nodes[-1] if isinstance(call.layer, nn.Conv2d) else None
        shape = call.after
    return nodes


def _calls(network: nn.Module, norms: set[nn.Module], frames: Tensor) -> list[Call]:
    """The layers that compute, norms and neurons whole, in the order in which they are called."""
    whole = norms | {*spiking_layers(network).values()}
    inside = {part for one in whole for part in one.modules() if part is not one}
    layers = [layer for layer in network.modules() if layer in whole or not (layer in inside or [*layer.children()])]
    found: list[Call] = []
    last = [frames]  # which stays, so that its memory is not another's

    def hook(layer: nn.Module, x: tuple[Tensor, ...], y: Tensor) -> None:
        _check_chain(network, last[0], x[0], f"{type(layer).__name__}")
        found.append(Call(layer, tuple(x[0].shape[2:]), tuple(y.shape[2:])))
        last[0] = y

    hooks = [layer.register_forward_hook(hook) for layer in layers]
    try:
        with torch.no_grad():
            logits = network(frames)
    finally:
        for each in hooks:
            each.remove()
    _check_chain(network, last[0], logits, "its output")
    return found


def _check_chain(network: nn.Module, given: Tensor, taken: Tensor, where: str) -> None:
    """Refuse what is not the tensor that the layer before gave, or a view of all of it."""
    same = given.untyped_storage().data_ptr() == taken.untyped_storage().data_ptr()
    if not same or given.numel() != taken.numel():
        raise UserError(
            f"NIR: {type(network).__name__} is no chain of layers: before {where} it computes something of its own."
        )


def _node(nir: Any, call: Call) -> list[Any]:
    """The layer in NIR's words: one, or none where it does nothing in evaluation."""
    layer, shape = call.layer, call.before
    if isinstance(layer, nn.Conv2d):
        bias = torch.zeros(layer.out_channels) if layer.bias is None else layer.bias
        options = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation, "groups": layer.groups}
        return [nir.Conv2d(input_shape=shape[1:], weight=_array(layer.weight), bias=_array(bias), **options)]
    if isinstance(layer, SpikingNeuron):
        return [_neuron(nir, layer, shape)]
    if isinstance(layer, nn.Linear):
        weight = _array(layer.weight)
        return [nir.Linear(weight) if layer.bias is None else nir.Affine(weight, _array(layer.bias))]
    if isinstance(layer, nn.AvgPool2d) and not layer.ceil_mode and layer.padding in (0, (0, 0)):
        return [nir.AvgPool2d(_pair(layer.kernel_size), _pair(layer.stride), _pair(0))]
    if isinstance(layer, nn.AdaptiveAvgPool2d) and not any(np.array(shape[1:]) % _pair(layer.output_size)):
        size = np.array(shape[1:]) // _pair(layer.output_size)
        return [nir.AvgPool2d(size, size, _pair(0))]
    if isinstance(layer, Voting):
        mean = np.full((1, layer.voters), 1 / layer.voters)
        return [nir.Linear(np.kron(np.eye(shape[-1] // layer.voters), mean).astype(np.float32))]
    if isinstance(layer, Dropout | nn.Identity):
        return []
    raise UserError(f"NIR: has no {type(layer).__name__} as this network has it.")


def _fold(convolution: Any, norm: nn.Module, T: int) -> None:
    """Take what an evaluated norm multiplies each channel by, and adds to it, into the convolution's node."""
    channels = len(convolution.weight)
    with torch.no_grad():
        zeros, ones = (norm(torch.full((T, 1, channels, 1, 1), value, dtype=torch.float64)) for value in (0.0, 1.0))
    if not all(torch.equal(each, found[0]) for found in (zeros, ones) for each in found):
        raise UserError(f"NIR: {type(norm).__name__} depends on the timestep, which no convolution can take in.")
    shift = zeros[0].flatten().numpy()
    scale = (ones - zeros)[0].flatten().numpy()
    convolution.weight = (convolution.weight * scale[:, None, None, None]).astype(np.float32)
    convolution.bias = (convolution.bias * scale + shift).astype(np.float32)


def _neuron(nir: Any, neuron: SpikingNeuron, shape: tuple[int, ...]) -> Any:
    kind = type(neuron)
    if kind not in (IF, LIF, PLIF):
        raise UserError(f"NIR: has no {kind.label}. What it has are IF, LIF, and PLIF, which is a LIF there.")
    if neuron.v_reset is None:
        raise UserError(f"NIR: a neuron there is reset to a value; this {kind.label} has a soft reset (v_reset=null).")
    if isinstance(neuron, LIF) and neuron.norm is not None:
        raise UserError("NIR: a neuron there fires on its membrane; this one on its norm (membrane_norm=true).")
    leak = getattr(neuron, "leak", None)
    values = {"v_threshold": neuron.v_th, "v_reset": neuron.v_reset, "r": 1.0}
    if kind is LIF and leak not in (None, 1.0):  # h = leak v + x
        tau = 1 / (1 - leak)
        values |= {"tau": tau, "r": tau, "v_leak": 0.0}
    elif isinstance(neuron, LIF | PLIF) and leak is None:
        tau = 1 / float(neuron.coefficients()["rate"].detach()) if isinstance(neuron, PLIF) else neuron.tau
        values |= {"tau": tau, "r": 1.0 if neuron.decay_input else tau, "v_leak": neuron.v_reset}
    arrays = {name: np.full(shape, value, np.float32) for name, value in values.items()}
    return nir.LIF(**arrays) if "tau" in arrays else nir.IF(**arrays)


def _array(value: Tensor) -> Any:
    return value.detach().cpu().numpy().astype(np.float32)


def _pair(value: Any) -> Any:
    return np.broadcast_to(np.array(value), 2).copy()
