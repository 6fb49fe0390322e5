"""What a run's result.json says of each neuron layer, and of its energy, after the last epoch."""

from __future__ import annotations

import math

from snnbench.runs.read import Run

Layers = dict[str, dict[str, float]]  # by layer, from the input on: values by quantity
Measured = dict[str, tuple[float, float | None]]  # by layer: a value, and the standard deviation within the layer
RATE = "firing_rate"


def layers(run: Run) -> Layers | None:
    """None where there are none, or they are damaged."""
    found = run.result.get("layers")
    if not isinstance(found, dict) or not found:
        return None
    for quantities in found.values():
        if not isinstance(quantities, dict):
            return None
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in quantities.values()):
            return None
    return found


def rates(layers: Layers) -> Measured | None:
    """Spikes per neuron and timestep; None where not every layer has a rate."""
    if any(RATE not in quantities for quantities in layers.values()):
        return None
    return {layer: (quantities[RATE], None) for layer, quantities in layers.items()}


def learned(layers: Layers) -> dict[str, Measured] | None:
    """By coefficient; of one per channel, the mean and standard deviation over channels. None where there is none."""
    found: dict[str, Measured] = {}
    for layer, quantities in layers.items():
        for quantity, value in quantities.items():
            name, _, statistic = quantity.partition(".")
            if quantity != RATE and statistic != "std":
                found.setdefault(name, {})[layer] = value, quantities.get(f"{name}.std")
    return found or None


def picojoule(run: Run) -> float | None:
    """Energy of a test sample by the 45 nm model; None where it was not measured, or by another model."""
    found = run.result.get("energy")
    if not isinstance(found, dict) or found.get("model") != "45nm":
        return None
    value = found.get("picojoule")
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
