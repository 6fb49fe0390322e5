"""The equations: one file per neuron family, each neuron one pure step function."""

from snnbench.neurons.base import SpikingNeuron
from snnbench.neurons.lif import IF, LIF

__all__ = ["IF", "LIF", "SpikingNeuron"]
