"""The equations: one file per neuron family, each neuron one pure step function."""

from snnbench.neurons.arlif import ARLIF
from snnbench.neurons.base import SpikingNeuron
from snnbench.neurons.clif import CLIF
from snnbench.neurons.dalif import DALIF
from snnbench.neurons.glif import GLIF
from snnbench.neurons.klif import KLIF
from snnbench.neurons.lif import IF, LIF, LIFNoReset
from snnbench.neurons.plif import PLIF
from snnbench.neurons.psn import PSN, MaskedPSN, SlidingPSN

__all__ = [
    "ARLIF",
    "CLIF",
    "DALIF",
    "GLIF",
    "IF",
    "KLIF",
    "LIF",
    "PLIF",
    "PSN",
    "LIFNoReset",
    "MaskedPSN",
    "SlidingPSN",
    "SpikingNeuron",
]
