"""What a run's result.json says of each neuron layer after the last epoch."""

from __future__ import annotations

from snnbench.runs.quantity import finite
from snnbench.runs.read import Run
from snnbench.runs.schema import MEAN, RATE, STD

Layers = dict[str, dict[str, float]]  # by layer, from the input on: values by quantity
Measured = dict[str, tuple[float, float | None]]  # by layer: a value, and the standard deviation within the layer


def layers(run: Run) -> Layers | None:
    """None where there are none, or they are damaged."""
    found = run.result.get("layers")
    if not isinstance(found, dict) or not found:
        return None
    for quantities in found.values():
        if not isinstance(quantities, dict):
            return None
        if any(finite(value) is None for value in quantities.values()):
            return None
    return found


def rates(layers: Layers) -> Measured | None:
    """Spikes per neuron and timestep, of the layers that fire spikes; None where none has a rate."""
    return {layer: (quantities[RATE], None) for layer, quantities in layers.items() if RATE in quantities} or None


def learned(layers: Layers) -> dict[str, Measured] | None:
    """By coefficient; of one per channel, the mean and standard deviation over channels. None where there is none."""
    found: dict[str, Measured] = {}
    for layer, quantities in layers.items():
        for quantity, value in quantities.items():
            name = quantity.removesuffix(MEAN)
            if quantity != RATE and not quantity.endswith(STD):
                found.setdefault(name, {})[layer] = value, quantities.get(name + STD)
    return found or None
