"""Every run below some folders, read from what the runs left; what cannot be read is named."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from snnbench import parallel
from snnbench.files import LARGEST_TEXT, read_bytes, read_yaml
from snnbench.runs.curves import metrics
from snnbench.runs.find import run_folders
from snnbench.runs.fingerprint import digest
from snnbench.runs.provenance import believable
from snnbench.runs.recipe import flat, hash_of, lookup, overrides
from snnbench.runs.result import Unreadable, brief, read_result, status_of
from snnbench.runs.schema import CONFIG, ENVIRONMENTS, EPOCH, METRICS, PROTOCOLS, RESULT, TEST_ACC, Result


@dataclass(frozen=True, eq=False)
class Run:
    """One run, from config.yaml and result.json.

    Attributes:
        folder: where it lies now.
        config: its resolved config.
        result: its result.json.
        status: one of schema.Status.
        identity: equal for copies of one run.
    """

    folder: Path
    config: dict[str, Any]
    result: Result
    status: str
    identity: str

    @property
    def row(self) -> str | None:
        return (self.config.get("row") or {}).get("id")

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def planned(self) -> int:
        return int(self.config["epochs"])

    @cached_property
    def epochs(self) -> int:
        """Epochs that were run; of a run that did not end in order, as many as metrics.csv has."""
        return int((self.result.get("epochs") or {"run": len(self.curve)})["run"])

    @cached_property
    def recipe(self) -> str:
        return hash_of(self.flat)

    @property
    def code(self) -> dict[str, Any]:
        """What the run recorded of the classes that its config names; see `snnbench.runs.code`."""
        code = self.result.get("code")
        return code if isinstance(code, dict) else {}

    @property
    def data(self) -> str:
        """Equal for runs on equal data of one recipe: "real", or else by its files, or where unknown by its folder."""
        known = digest((self.fingerprint or {}).get("files"))
        where = f"with files {known}" if known else f"in {os.path.realpath(str(lookup(self.config, 'data.root')))}"
        return "real" if self.provenance == "real" else f"{self.provenance} {where}"

    @property
    def fingerprint(self) -> dict[str, Any] | None:
        """What the run's data was; None of a run that does not tell."""
        return found if isinstance(found := self.result.get("fingerprint"), dict) else None

    @cached_property
    def flat(self) -> dict[str, Any]:
        """The recipe itself, by dotted keys."""
        return flat(self.config, self.code)

    @property
    def provenance(self) -> str:
        """What the run proved of its data: of an older one, what it said and can have proved."""
        return self._provenance[0]

    @property
    def doubt(self) -> str:
        """Why the data is not known to be the real one, as far as the run tells."""
        return self._provenance[1]

    @cached_property
    def _provenance(self) -> tuple[str, str]:
        said = str(self.result["provenance"])
        if "fingerprint" in self.result:
            return said, str(self.result.get("doubt") or "")
        return believable(self.config, said)

    @cached_property
    def command(self) -> str:
        """With which the run was first started; a resumption's says nothing of overrides."""
        try:
            return str(json.loads(_first_start(self.folder))["command"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return str(self.environment.get("command", ""))

    @property
    def overrides(self) -> list[str]:
        """What was said to it that can have changed its recipe, when it was started, got more epochs, or moved."""
        more = [f"epochs={self.planned}"] if self.config.get("extended") else []
        devices = lookup(self.config, "trainer.devices")
        return [*overrides(self.command), *more, *([f"trainer.devices={devices}"] if self.config.get("moved") else [])]

    @property
    def started(self) -> str:
        return str(self.environment.get("time", ""))

    @property
    def environment(self) -> Mapping[str, Any]:
        """Of its last start; empty where it is damaged."""
        found = self.result.get("environment")
        return found if isinstance(found, dict) else {}

    @cached_property
    def curve(self) -> dict[int, float]:
        """Test accuracy in percent by epoch, counted from 0; empty where metrics.csv is missing or damaged."""
        try:
            columns = metrics(read_bytes(self.folder / METRICS))
            pairs = zip(columns[EPOCH], columns[TEST_ACC], strict=True)
            found = {int(epoch): float(accuracy) for epoch, accuracy in pairs if accuracy}
        except (OSError, ValueError, KeyError):
            return {}
        return found if all(map(math.isfinite, found.values())) else {}

    def accuracy(self, protocol: str) -> float | None:
        """Test accuracy in percent, chosen by `protocol`; where a paper does not state it, of the last epoch."""
        accuracy: Any = self.result.get("accuracy") or {}
        if protocol in ("last_epoch", "unknown"):
            return accuracy.get("last_epoch")
        return (accuracy.get(protocol) or {}).get("acc")


@dataclass
class Ledger:
    """What was found: runs, each once; further copies as (copy, counted one); and what could not be read."""

    runs: list[Run] = field(default_factory=list)
    copies: list[tuple[Run, Run]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_ledger(folders: Iterable[str | Path]) -> Ledger:
    """All runs in and below `folders`, in the order of their paths.

    Raises:
        UserError: one of `folders` does not exist.
    """
    ledger = Ledger()
    found: dict[str, list[Run]] = {}
    for run in parallel.each(_run_or_problem, list(run_folders(folders, ledger.problems))):
        if isinstance(run, Run):
            found.setdefault(run.identity, []).append(run)
        else:
            ledger.problems.append(run)
    for same in found.values():
        counted = max(same, key=lambda run: (run.status == "finished", run.epochs))
        ledger.runs.append(counted)
        ledger.copies += [(run, counted) for run in same if run is not counted]
    ledger.runs.sort(key=lambda run: (run.started, str(run.folder)))
    return ledger


def _run_or_problem(folder: Path) -> Run | str:
    """The run in the folder, or why there is none."""
    try:
        run = read_run(folder)
    except Unreadable as error:
        return str(error)
    _ = run.recipe  # kept with the run, and so worked out on whichever core reads it
    return run


def read_run(folder: Path) -> Run:
    """The run in `folder`.

    Raises:
        Unreadable: a file is missing, damaged, of an unknown schema, or the two disagree.
    """
    result = read_result(folder)
    try:
        text = read_bytes(folder / CONFIG, LARGEST_TEXT)
        config = read_yaml(folder / CONFIG, aliases=False)
    except FileNotFoundError:
        raise Unreadable(f"{folder}: has a {RESULT} but no {CONFIG}") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise Unreadable(f"{folder}: {CONFIG} cannot be read ({brief(error)})") from error
    if not isinstance(config, dict) or not {"seed", "epochs", "T", "data", "neuron"} <= config.keys():
        raise Unreadable(f"{folder}: {CONFIG} is not the config of a run")
    said: dict[str, Any] = {"seed": result.get("seed"), "T": result.get("T")}
    for key, value in said.items():
        if value != config[key]:
            raise Unreadable(f"{folder}: {RESULT} says {key}={value}, {CONFIG} {key}={config[key]}")
    run = Run(folder, config, result, status_of(folder, result), _identity(folder, text))
    _check(run)
    return run


def _check(run: Run) -> None:
    """Refuse what no run writes and no reader of a run would expect."""
    damaged = f"{run.folder}: {RESULT} or {CONFIG} is damaged"
    try:
        accuracies = [run.accuracy(protocol) for protocol in PROTOCOLS]
        found = [run.seed, run.planned, run.epochs, *(value for value in accuracies if value is not None)]
        sound = all(map(math.isfinite, found)) and isinstance(run.row, str | None)
        sound = sound and all(isinstance(run.config[key], dict) for key in ("data", "neuron"))
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise Unreadable(f"{damaged} ({brief(error)})") from error
    if not sound:
        raise Unreadable(f"{damaged} (a value is not of its kind)")


def _identity(folder: Path, config: bytes) -> str:
    """Of a run's own config, which holds its first folder, and the moment and machine on which it first started."""
    try:
        first = _first_start(folder)
    except OSError:
        first = b""
    return hashlib.sha256(config + first).hexdigest()


def _first_start(folder: Path) -> bytes:
    return read_bytes(folder / ENVIRONMENTS, LARGEST_TEXT).partition(b"\n")[0]
