"""snnbench: reproduce the benchmark tables of spiking-neuron papers, one config per row.

`snnbench.load` gives the network of a run or of a row, with its data; `snnbench.record` looks
into its neurons; `snnbench.export` writes a run for others. This
module imports nothing heavy until one of them is asked for, so that `python train.py --help` answers at once.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnbench.models import Model, export, load, record

__version__ = "0.1.0"
__all__ = ["Model", "__version__", "export", "load", "record"]


def __getattr__(name: str) -> Any:
    if name in ("Model", "export", "load", "record"):
        from snnbench import models

        return getattr(models, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
