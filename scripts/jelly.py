"""SpikingJelly's implementations: which there are, which one runs, and how a process chooses."""

from __future__ import annotations

import os
from typing import Any

import torch

OPERATORS = ("if", "lif", "plif", "clif")
"""Its neurons, of those compared here, that have more than one implementation since 2.0."""


def choose(implementation: str) -> dict[str, str]:
    """The environment in which a process of SpikingJelly 2.0 takes this one: "cuda", "triton", "torch" or "auto".

    It is read when SpikingJelly is imported, and one that cannot be had is then an error in the first call.
    """
    return dict(os.environ) | {f"SJ_{name.upper()}_CUDA_IMPLEMENTATION": implementation for name in OPERATORS}


def backends(neuron: str, device: str) -> dict[str, str | None]:
    """What runs a neuron here, by name, and what a layer's `backend` has to be for it; None to leave it alone.

    Before 2.0 a layer names its backends, torch and cupy. Since then a process has one, "torch" wherever a neuron has
    no operator of its own.

    Args:
        neuron: the lower-case name of ours.
        device: the kind of device.

    Raises:
        ImportError: SpikingJelly is not installed.
    """
    from spikingjelly.activation_based import functional
    from spikingjelly.activation_based import neuron as neurons

    if device != "cuda":
        return {"torch": None}
    offered = getattr(neurons.LIFNode(step_mode="m"), "supported_backends", None)
    if offered is not None:
        return {name: name for name in offered}
    if neuron not in OPERATORS:
        return {"torch": None}
    found: dict[str, Any] = functional.neuron_implementation(neuron, torch.device(device))
    return {str(found["implementation"]): None}
