"""Energy with memory accesses and addressing, after Lemaire et al. (ICONIP 2022, arXiv 2210.13107).

Three parts: operations, addressing and memory. Every array has a memory of its own, of 32-bit words, and an access
costs the more the larger that memory is. Equations (1) to (17) of the paper, with these readings:

- Accumulates are the counted ones. The paper estimates them as events x C_out x kernel size (for the additions
  divided by the stride), which at the border of an image and with a stride is more than happens.
- A fully connected layer adds one weight per event and output; the paper's equation (2) has N_in too many.
- A layer with real-valued input is charged as the paper's formal network, without the output's way through memory:
  the output goes to the membranes, whose accesses are charged with the neurons.
- A neuron is charged its multiplications in every timestep (an addition goes with each), one addition per spike and
  state that the spike changes, and a read and a write of its states. Sigmoids and the like are free, as in the script
  of the CLIF authors, which has 1 multiplication for LIF and 3 for CLIF, as here.
- Norms are folded into the weights, pools are free.
"""

from __future__ import annotations

import numpy as np

from snnbench.energy.operations import Neurons, Synapses

ADD_PJ = 0.1
MULTIPLY_PJ = 3.1
MAC_PJ = ADD_PJ + MULTIPLY_PJ
WORD = 4  # bytes
MEMORY_BYTES = (0, 8 * 1024, 32 * 1024, 1024 * 1024)
ACCESS_PJ = (0, 10, 20, 100)
QUEUE = 1000  # events that the queues between layers hold, as in the paper's experiments


def access(words: float) -> float:
    """Picojoules of one access to a memory of `words` words; from 1 MB on, that of 1 MB."""
    return float(np.interp(words * WORD, MEMORY_BYTES, ACCESS_PJ))


def synapses(layer: Synapses) -> dict[str, float]:
    """Picojoules of a convolution or linear layer of the spiking network, by part."""
    if layer.input == "real":
        return _formal(layer, layer.mac, layer.passes)
    convolution = layer.kernel > 0
    bias = layer.outputs * layer.passes if layer.biases else 0.0
    return {
        "operations": ADD_PJ * (layer.ac + bias),
        "addressing": ADD_PJ * layer.ac + (MAC_PJ * 2 * layer.events if convolution else 0.0),
        "memory": layer.events * access(QUEUE)
        + (layer.ac + bias) * access(layer.weights + layer.biases)
        + 2 * layer.ac * access(layer.outputs),
    }


def neurons(layer: Neurons) -> dict[str, float]:
    """Picojoules of a layer of neurons, by part."""
    updates = layer.neurons * layer.steps
    return {
        "operations": MAC_PJ * layer.products * updates + ADD_PJ * layer.resets * layer.spikes,
        "addressing": 0.0,
        "memory": (layer.reads + layer.writes) * updates * access(layer.neurons) + layer.spikes * access(QUEUE),
    }


def ann(layer: Synapses) -> dict[str, float]:
    """Picojoules of the ANN counterpart of a layer, by part: real input, outputs written to memory."""
    cost = _formal(layer, layer.ann_mac, layer.ann_passes)
    cost["memory"] += layer.outputs * layer.ann_passes * access(layer.outputs)
    return cost


def _formal(layer: Synapses, mac: float, passes: float) -> dict[str, float]:
    bias = layer.outputs * passes if layer.biases else 0.0
    reads = mac if layer.kernel else layer.inputs * passes
    return {
        "operations": MAC_PJ * mac + ADD_PJ * bias,
        "addressing": ADD_PJ * (layer.inputs + layer.outputs + layer.kernel) * passes,
        "memory": reads * access(layer.inputs) + (mac + bias) * access(layer.weights + layer.biases),
    }
