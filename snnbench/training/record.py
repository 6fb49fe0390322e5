"""What a run writes about itself: environment.jsonl and result.json."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from snnbench.errors import UserError
from snnbench.files import WriteError
from snnbench.neurons.base import spiking_layers
from snnbench.processes import is_first
from snnbench.runs.code import code_of
from snnbench.runs.environment import environment
from snnbench.runs.fingerprint import differences
from snnbench.runs.provenance import parts_of, took_others
from snnbench.runs.result import write_result
from snnbench.runs.schema import ENVIRONMENTS, SCHEMA, Epochs, Identity, Result, Written
from snnbench.training.failure import Ending
from snnbench.training.history import History
from snnbench.training.measure import measured, reset_peak_memory
from snnbench.training.module import SpikingClassifier

MOST = 3  # differences that a message names


class Record:
    """Keeps a run's result.json true while the run goes on.

    Args:
        folder: the run's folder.
        cfg: the resolved config.
        data: the data module, for what it knows of its provenance.
        module: for the names of its parts.
    """

    def __init__(self, folder: Path, cfg: DictConfig, data: Any, module: SpikingClassifier) -> None:
        self.folder = folder
        self._cfg = cfg
        self._environment = environment()
        provenance, doubt = judged(data, cfg)
        self._identity: Identity = {
            "schema": SCHEMA,
            "name": cfg.name,
            "tags": list(cfg.tags),
            "row": cast(dict[str, Any], OmegaConf.to_container(cfg.row)) if cfg.row else None,
            "data": cfg.data.get("name"),
            "backbone": cfg.backbone.get("name"),
            "neuron": cfg.neuron.get("name"),
            "norm": cfg.norm.get("name"),
            "loss": cfg.loss.get("name"),
            "optimizer": cfg.optimizer.get("name"),
            "labels": _labels(module, cfg.neuron.get("name")),
            "T": cfg.T,
            "seed": cfg.seed,
            "batch_size": cfg.batch_size,
            "provenance": provenance,
            "doubt": doubt,
            "fingerprint": fingerprint_of(data),
            "split": data.split,
            "data_details": dict(data.details),
            "code": code_of(OmegaConf.to_container(cfg, resolve=True)),  # type: ignore[arg-type]
        }

    def start(self) -> None:
        """Leave the environment and a result that says "running", which a killed run will keep saying."""
        reset_peak_memory()
        if not is_first():
            return
        with (self.folder / ENVIRONMENTS).open("a") as file:  # a line for each start of the run
            file.write(json.dumps(self._environment) + "\n")
        self._write("running", {})

    def fail(self, ending: Ending, module: SpikingClassifier, history: History) -> None:
        """Say how the run ended early, and what it had reached.

        Where that cannot be written, on a full disk, the result goes on saying "running": a killed run, to all readers.
        """
        values = {"cause": ending.cause, "diverged": ending.diverged, "epochs": self._epochs(history)}
        try:
            self._write(ending.status, {**values, **measured(module, history, early=True)}, ending.text)
        except WriteError as error:
            logging.getLogger("snnbench").warning("%s", error)

    def finish(self, module: SpikingClassifier, history: History) -> Result:
        """Write the final result and return it."""
        return self._write("finished", {"epochs": self._epochs(history), **measured(module, history)})

    def _write(self, status: Written, values: dict[str, Any], error: str | None = None) -> Result:
        found = {**self._identity, "status": status, "error": error, **values, "environment": self._environment}
        result = cast(Result, found)
        if is_first():
            write_result(self.folder, result)
        return result

    def _epochs(self, history: History) -> Epochs:
        return {"planned": self._cfg.epochs, "run": len(history.metrics)}


def judged(data: Any, cfg: DictConfig) -> tuple[str, str]:
    """The provenance of what a run of this config sees of `data`, and what keeps it from being "real"."""
    parts = parts_of(cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True)))
    if parts:
        return "subset", parts
    provenance = str(getattr(data, "provenance", "unverified"))
    unsaid = f"{type(data).__name__} does not prove its data"
    return provenance, "" if provenance == "real" else str(getattr(data, "doubt", "") or unsaid)


def fingerprint_of(data: Any) -> dict[str, Any] | None:
    """What the data of a run is, of a data module that tells it."""
    return dict(data.fingerprint()) if hasattr(data, "fingerprint") else None


def check_data(what: str, cfg: DictConfig, result: Result, data: Any) -> None:
    """Refuse data that is not the data of an earlier run.

    Args:
        what: how that run was named on the command line.
        cfg: its config.
        result: its result.json; an older one tells nothing of its data.
        data: the data module that is to be used now.

    Raises:
        UserError: names what differs.
    """
    before = result.get("fingerprint")
    others = took_others(cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True)))
    if before is None and others:
        raise UserError(f"{what}: its data is not what it was: {others}. Begin a new run.")
    if before is None:
        logging.getLogger("snnbench").info("%s: says nothing of its data, which may be other than it was", what)
        return
    found = differences(before, fingerprint_of(data))
    if found:
        more = f", and {len(found) - MOST} more" if len(found) > MOST else ""
        raise UserError(
            f"{what}: its data is not what it was: {'; '.join(found[:MOST])}{more}.\n"
            "Bring that data back, or say where it lies: paths.data=<folder>. On what lies here, begin a new run."
        )


def _labels(module: SpikingClassifier, name: str | None) -> dict[str, str]:
    """How what the config names is to be shown: the neuron by its class's label, a variant with its own name behind."""
    layers = list(spiking_layers(module.network).values())
    if not layers:
        return {}
    cls = type(layers[0])
    return {"neuron": cls.label if name in (None, cls.config_name) else f"{cls.label} ({name})"}
