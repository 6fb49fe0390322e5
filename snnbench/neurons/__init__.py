"""The equations: one file per neuron family, each neuron one pure step function.

Every module of this package is imported with it, so that a file with a neuron is all that a new neuron takes:
`snnbench.neurons.<Class>` and `known()` find it. `ReLU` stands beside them for networks without spikes.
"""

from snnbench.neurons.base import SpikingNeuron, registry
from snnbench.neurons.relu import ReLU as ReLU
from snnbench.registry import import_modules

import_modules(__name__, __path__)
known = registry.known
"""Every neuron by the name that configs give it, in the order of tables and figures; users' classes come last."""


def __getattr__(name: str) -> type[SpikingNeuron]:
    """The project's neuron of that class name."""
    for cls in registry.own().values():
        if cls.__name__ == name:
            return cls
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *(cls.__name__ for cls in registry.own().values())})
