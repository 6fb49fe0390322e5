"""What two networks that differ in their neurons have in common when training begins."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from omegaconf import DictConfig

from snnbench.neurons.base import of_neurons
from snnbench.training import build
from snnbench.training.initial import load_weights


@dataclass(frozen=True)
class Shared:
    """Names of the tensors outside the neurons that both networks have in one shape: equal ones, and others."""

    equal: tuple[str, ...]
    different: tuple[str, ...]


def shared(first: DictConfig, second: DictConfig) -> Shared:
    """Of the networks of two configs, as their runs begin."""
    ours, theirs = (_outside(cfg) for cfg in (first, second))
    both = [name for name in ours if name in theirs and ours[name].shape == theirs[name].shape]
    equal = tuple(name for name in both if torch.equal(ours[name], theirs[name]))
    return Shared(equal, tuple(name for name in both if name not in equal))


def _outside(cfg: DictConfig) -> dict[str, torch.Tensor]:
    """The tensors of a new network that belong to no neuron."""
    network = build.build_network(cfg)
    load_weights(cfg, network)
    tensors = network.state_dict()
    inside = set(of_neurons(network, tensors))
    return {name: tensor for name, tensor in tensors.items() if name not in inside}
