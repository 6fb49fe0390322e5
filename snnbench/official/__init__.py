"""The authors' own training curves, as numbers from the logs in their repositories (README.md: the files' format)."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from snnbench.runs.schema import TEST_ACC

HERE = Path(__file__).parent
W_UNIT = 1e-3  # of the whole numbers that stand for w


@dataclass(frozen=True)
class OfficialCurve:
    """What one run of the authors measured: place e of each list is of epoch e, counted from 0, measured after it.

    Attributes:
        repository, commit: owner/name on GitHub, and the commit that has the log.
        log: the log's folder in it.
        args: the arguments that the run printed, without paths and machines; None where it printed none.
        columns: by column of metrics.csv; accuracies in percent.
        w: of PLIF, the raw parameter of each neuron layer, from the input on, where 1 / tau = sigmoid(w); else empty.
    """

    repository: str
    commit: str
    log: str
    args: str | None
    columns: Mapping[str, tuple[float, ...]]
    w: tuple[tuple[float, ...], ...]

    @property
    def accuracy(self) -> tuple[float, ...]:
        """Test accuracy in percent by epoch."""
        return self.columns[TEST_ACC]

    @property
    def source(self) -> str:
        return f"{self.repository} at {self.commit[:7]}, {self.log}"


def curve_of(row: str | None) -> OfficialCurve | None:
    """The authors' curve of the row with this id; None where they published none of its settings."""
    log = rows().get(row or "")
    return None if log is None else _curve(*log)


def rows() -> dict[str, tuple[str, str]]:
    """Every row that has a curve, with the file here and the log in it."""
    return {row: (file, log) for file, found in _read("rows")["rows"].items() for row, log in found.items()}


def orders(row: str) -> dict[int, OfficialCurve]:
    """The authors' curves of this row's masked or sliding PSN with every order k; empty where there are none."""
    return {int(order): _curve("psn", log) for order, log in _read("rows")["orders"].get(row, {}).items()}


def _curve(file: str, log: str) -> OfficialCurve:
    whole = _read(file)
    found = whole["logs"][log]
    columns = {key: tuple(values) for key, values in found.items() if key not in ("args", "w")}
    w = tuple(tuple(W_UNIT * number for number in accumulate(steps)) for steps in found.get("w", ()))
    return OfficialCurve(whole["repository"], whole["commit"], log, found.get("args"), columns, w)


@functools.cache
def _read(file: str) -> Any:
    return json.loads((HERE / f"{file}.json").read_text("utf-8"))
