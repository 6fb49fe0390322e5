"""Networks outside a training: built from a row, loaded from a run, handed to others."""

from snnbench.models.exporting import export
from snnbench.models.loading import load
from snnbench.models.model import Model, record
from snnbench.models.to_nir import to_nir

__all__ = ["Model", "export", "load", "record", "to_nir"]
