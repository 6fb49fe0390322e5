"""Counts of operations, as measured on a network; the energy models read them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Synapses:
    """One convolution or linear layer; all numbers are for one sample, averaged over the test set.

    Attributes:
        input: what it reads: "real" numbers, "spikes", "sums" of spikes or "averages" of spikes.
        input_rate: share of its inputs, over all timesteps, that are not zero.
        ac: accumulates: a weight added because a spike came.
        mac: multiply-accumulates: all products with real inputs, zero or not.
        ann_mac: multiply-accumulates of the ANN counterpart, zero or not: `ann_passes` times one frame.
        events: spikes that come in; of sums, with their multiplicity; 0 where the input is real.
        inputs, outputs: how many numbers one pass reads and makes.
        passes: how many times it runs: T, or 1 where the input is the same at every timestep.
        ann_passes: how many times it runs in the ANN counterpart: 1, or T where the timesteps are parts of one input.
        weights, biases: number of parameters.
        kernel: weights of a convolution for one input channel, C_out x kernel size; 0 for a linear layer.
    """

    input: str
    input_rate: float
    ac: float
    mac: float
    ann_mac: float
    events: float = 0.0
    inputs: float = 0.0
    outputs: float = 0.0
    passes: float = 1.0
    ann_passes: float = 1.0
    weights: int = 0
    biases: int = 0
    kernel: int = 0


@dataclass(frozen=True)
class Neurons:
    """One layer of neurons; all numbers are for one sample, averaged over the test set.

    Attributes:
        neurons: how many there are.
        steps: timesteps that each of them makes.
        spikes: how many they fire; where their outputs are graded, how many of these are not 0.
        products: multiplications of one neuron in one timestep.
        resets: state variables that a spike changes.
        reads, writes: state variables that one neuron reads and writes in one timestep.
    """

    neurons: float
    steps: float
    spikes: float
    products: int
    resets: int
    reads: int
    writes: int
