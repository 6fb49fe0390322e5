"""A neuron's step, run over time by the best engine there is. README.md says how a kernel comes about."""

from snnbench.kernels.cell import Cell, NoEngine, State
from snnbench.kernels.dispatch import run
from snnbench.kernels.engines.contract import Engine, Kernel
from snnbench.kernels.engines.registry import check_engine, engine_names, register
from snnbench.kernels.repeated import repeat

__all__ = ["Cell", "Engine", "Kernel", "NoEngine", "State", "check_engine", "engine_names", "register", "repeat", "run"]
