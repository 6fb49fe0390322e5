"""Energy of one inference, from counted operations: pure accounting, nothing is measured here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snnbench.energy import lemaire
from snnbench.energy.operations import Neurons, Synapses
from snnbench.errors import UserError, did_you_mean

# Picojoules of one 32-bit float operation at 45 nm (Horowitz, ISSCC 2014), as the papers use them.
MAC_PJ = 4.6
AC_PJ = 0.9
MODELS = ("45nm", "lemaire")


def choose_model(value: Any) -> str | None:
    """The energy model that `energy=value` asks for, or None for no energy.

    Raises:
        UserError: there is no such model.
    """
    if value is None or value is False:
        return None
    if value is True:
        return MODELS[0]
    if value not in MODELS:
        hint = did_you_mean(str(value), MODELS)
        raise UserError(f"energy={value}: unknown.{hint} Allowed: true (which is 45nm), {', '.join(MODELS)}, false.")
    return str(value)


def energy(
    synapses: Mapping[str, Synapses],
    neurons: Mapping[str, Neurons] | None = None,
    *,
    samples: int,
    parameters: Mapping[str, int],
    model: str = "45nm",
) -> dict[str, Any]:
    """The `energy` block of result.json, in picojoules per sample.

    "45nm": 0.9 pJ an accumulate and 4.6 pJ a multiply-accumulate of the synapses, nothing else; the ANN counterpart
    costs 4.6 pJ x its multiply-accumulates. "lemaire": see `snnbench.energy.lemaire`. A network without spikes is
    its own ANN counterpart.

    Args:
        synapses: the convolutions and linear layers by name.
        neurons: the neuron layers by name; only "lemaire" looks at them.
        samples: over how many samples the counts are averaged.
        parameters: how many, in "total" and in "neurons".
        model: "45nm" or "lemaire".

    Raises:
        UserError: there is no such model.
    """
    if choose_model(model) == "lemaire":
        spiking = neurons or any(layer.input != "real" for layer in synapses.values())
        price = lemaire.synapses if spiking else lemaire.ann
        costs = {name: price(layer) for name, layer in synapses.items()}
        ann = {name: lemaire.ann(layer) for name, layer in synapses.items()}
        extra = {name: lemaire.neurons(layer) for name, layer in (neurons or {}).items()}
    else:
        costs = {name: {"operations": AC_PJ * s.ac + MAC_PJ * s.mac} for name, s in synapses.items()}
        ann = {name: {"operations": MAC_PJ * s.ann_mac} for name, s in synapses.items()}
        extra = {}
    block = {
        "model": model,
        "samples": samples,
        **{key: sum(getattr(layer, key) for layer in synapses.values()) for key in ("ac", "mac", "ann_mac")},
        "picojoule": sum(sum(cost.values()) for cost in (*costs.values(), *extra.values())),
        "ann_picojoule": sum(sum(cost.values()) for cost in ann.values()),
        "layers": {name: _layer(layer, costs[name]) for name, layer in synapses.items()},
        "parameters": dict(parameters),
    }
    if model == "lemaire":
        block["neurons"] = {name: {"picojoule": sum(cost.values())} for name, cost in extra.items()}
        block["parts"] = _by_part([*costs.values(), *extra.values()])
        block["ann_parts"] = _by_part(list(ann.values()))
    return block


def _layer(layer: Synapses, cost: Mapping[str, float]) -> dict[str, Any]:
    keys = ("input", "input_rate", "ac", "mac", "ann_mac")
    return {**{key: getattr(layer, key) for key in keys}, "picojoule": sum(cost.values())}


def _by_part(costs: list[dict[str, float]]) -> dict[str, float]:
    parts: dict[str, float] = {}
    for cost in costs:
        for part, picojoule in cost.items():
            parts[part] = parts.get(part, 0.0) + picojoule
    return parts
