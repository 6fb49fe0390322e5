"""Every run below some folders, read from what the runs left; what cannot be read is named."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from snnbench import parallel
from snnbench.errors import UserError
from snnbench.files import read_yaml
from snnbench.runs.recipe import flat, lookup, recipe_hash

SCHEMA = 1
STATUSES = ("finished", "failed", "interrupted", "running")
PROTOCOLS = ("last_epoch", "best_test_epoch", "validation_chosen")
NOT_RUNS = {"checkpoints", "wandb", ".sweeps"}


class Unreadable(Exception):
    """A folder that looks like a run's and cannot be taken as one; the message says why."""


@dataclass(frozen=True, eq=False)
class Run:
    """One run, from config.yaml and result.json.

    Attributes:
        folder: where it lies now.
        config: its resolved config.
        result: its result.json.
        status: finished, failed, interrupted, running, or killed: it says "running", but no process holds its lock.
        identity: equal for copies of one run.
    """

    folder: Path
    config: dict[str, Any]
    result: dict[str, Any]
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
        return recipe_hash(self.config, self.code)

    @property
    def code(self) -> dict[str, Any]:
        """What the run recorded of the classes that its config names; see `snnbench.runs.code`."""
        code = self.result.get("code")
        return code if isinstance(code, dict) else {}

    @property
    def data(self) -> str:
        """Equal for runs on equal data of one recipe: "real", or else what is known of it and where it lay."""
        if self.provenance == "real":
            return self.provenance
        return f"{self.provenance} in {os.path.realpath(str(lookup(self.config, 'data.root')))}"

    @cached_property
    def flat(self) -> dict[str, Any]:
        """The recipe itself, by dotted keys."""
        return flat(self.config, self.code)

    @property
    def provenance(self) -> str:
        return str(self.result["provenance"])

    @cached_property
    def command(self) -> str:
        """With which the run was first started; a resumption's says nothing of overrides."""
        try:
            with (self.folder / "environment.jsonl").open() as file:
                return str(json.loads(file.readline())["command"])
        except (OSError, ValueError, KeyError, TypeError):
            return str((self.result.get("environment") or {}).get("command", ""))

    @property
    def started(self) -> str:
        return str((self.result.get("environment") or {}).get("time", ""))

    @cached_property
    def curve(self) -> dict[int, float]:
        """Test accuracy in percent by epoch, counted from 0; empty where metrics.csv is missing or damaged."""
        try:
            with (self.folder / "metrics.csv").open(newline="") as file:
                lines = csv.DictReader(file)
                return {int(line["epoch"]): float(line["test/acc"]) for line in lines if line["test/acc"]}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def accuracy(self, protocol: str) -> float | None:
        """Test accuracy in percent, chosen by `protocol`; where a paper does not state it, of the last epoch."""
        accuracy = self.result.get("accuracy") or {}
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
    for run in parallel.each(_run_or_problem, list(_run_folders(folders, ledger.problems))):
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
        return f"{folder}: {error}"
    _ = run.recipe  # kept with the run, and so worked out on whichever core reads it
    return run


def _run_folders(folders: Iterable[str | Path], problems: list[str]) -> Iterator[Path]:
    seen: set[Path] = set()
    for top in map(Path, folders):
        if not top.is_dir():
            raise UserError(f"{top}: there is no such folder. Runs lie in outputs/<name>/<time>.")

        def unreadable(error: OSError) -> None:
            problems.append(f"{error.filename}: cannot be read ({error.strerror})")

        for parent, children, files in os.walk(top, onerror=unreadable):
            children[:] = sorted(set(children) - NOT_RUNS)
            folder = Path(parent)
            here = {"config.yaml", "result.json"} & {*files, *children}
            if here and folder.resolve() not in seen:
                seen.add(folder.resolve())
                yield folder


def read_run(folder: Path) -> Run:
    """The run in `folder`.

    Raises:
        Unreadable: a file is missing, damaged, of an unknown schema, or the two disagree.
    """
    result = _read_result(folder)
    try:
        text = (folder / "config.yaml").read_bytes()
        config = read_yaml(folder / "config.yaml")
    except FileNotFoundError:
        raise Unreadable("has a result.json but no config.yaml") from None
    except (OSError, yaml.YAMLError) as error:
        raise Unreadable(f"config.yaml cannot be read ({_brief(error)})") from error
    if not isinstance(config, dict) or not {"seed", "epochs", "T", "data", "neuron"} <= config.keys():
        raise Unreadable("config.yaml is not the config of a run")
    for key in ("seed", "T"):
        if result.get(key) != config[key]:
            raise Unreadable(f"result.json says {key}={result.get(key)}, config.yaml {key}={config[key]}")
    status = result["status"]
    if status == "running" and not _locked(folder):
        status = "killed"
    run = Run(folder, config, result, status, _identity(folder, text))
    _check(run)
    return run


def _check(run: Run) -> None:
    """Refuse what no run writes and no reader of a run would expect."""
    try:
        accuracies = [run.accuracy(protocol) for protocol in PROTOCOLS]
        found = [run.seed, run.planned, run.epochs, *(value for value in accuracies if value is not None)]
        sound = all(map(math.isfinite, found)) and isinstance(run.row, str | None)
        sound = sound and all(isinstance(run.config[key], dict) for key in ("data", "neuron"))
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise Unreadable(f"result.json or config.yaml is damaged ({_brief(error)})") from error
    if not sound:
        raise Unreadable("result.json or config.yaml is damaged (a value is not of its kind)")


def _read_result(folder: Path) -> dict[str, Any]:
    try:
        result = json.loads((folder / "result.json").read_text())
    except FileNotFoundError:
        raise Unreadable("has no result.json: it ended before training began") from None
    except OSError as error:
        raise Unreadable(f"result.json cannot be read ({_brief(error)})") from error
    except ValueError as error:
        raise Unreadable(f"result.json is damaged ({_brief(error)})") from error
    if not isinstance(result, dict) or "schema" not in result:
        raise Unreadable("result.json is not a result of snnbench")
    if result["schema"] != SCHEMA:
        raise Unreadable(f"result.json has schema {result['schema']}; this version reads {SCHEMA}")
    if result.get("status") not in STATUSES or "provenance" not in result:
        raise Unreadable(f"result.json is damaged (status {result.get('status')!r})")
    if result["status"] == "finished" and not _has_accuracy(result):
        raise Unreadable("result.json is damaged (finished without an accuracy)")
    return result


def _has_accuracy(result: dict[str, Any]) -> bool:
    accuracy = result.get("accuracy")
    return isinstance(accuracy, dict) and isinstance(accuracy.get("last_epoch"), int | float)


def _identity(folder: Path, config: bytes) -> str:
    """Of a run's own config, which holds its first folder, and the moment and machine on which it first started."""
    try:
        with (folder / "environment.jsonl").open("rb") as file:
            first = file.readline()
    except OSError:
        first = b""
    return hashlib.sha256(config + first).hexdigest()


def _locked(folder: Path) -> bool:
    """Whether a process on this machine is at work in the folder."""
    try:
        with (folder / ".lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _brief(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:120]
