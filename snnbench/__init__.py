"""snnbench: reproduce the benchmark tables of spiking-neuron papers, one config per row.

This module imports nothing heavy, so that `python train.py --help` answers at once.
"""

__version__ = "0.1.0"
