"""What a run gives back to a sweeper that looks for good options, and to which side better lies."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from snnbench.check import shown
from snnbench.errors import UserError, did_you_mean
from snnbench.files import read_bytes
from snnbench.runs.curves import metrics
from snnbench.runs.quantities import ENERGY
from snnbench.runs.recipe import lookup
from snnbench.runs.result import Unreadable, read_result
from snnbench.runs.schema import METRICS, TEST_ACC, VAL_ACC

VAL_LOSS = "val/loss"
FORCED = "_anyway"
Value = float | list[float] | None


class Objective(NamedTuple):
    """A value of a finished run: a column of metrics.csv, of its best or its last epoch; without one, of its result."""

    column: str
    best: bool
    better: str = "maximize"


OBJECTIVES = {
    "best_validation": Objective(VAL_ACC, best=True),
    "last_validation": Objective(VAL_ACC, best=False),
    "validation_loss": Objective(VAL_LOSS, best=False, better="minimize"),
    "energy": Objective("", best=False, better="minimize"),
    f"best_test{FORCED}": Objective(TEST_ACC, best=True),
    f"last_test{FORCED}": Objective(TEST_ACC, best=False),
}


class Ended(NamedTuple):
    """How a job ended: its exit code, and what it gives back to a sweeper."""

    code: int
    value: Value = None


def names_of(optimize: Any) -> list[str]:
    """The objectives of `optimize=...`: none, one, or several of a list."""
    if optimize is None:
        return []
    return list(optimize) if isinstance(optimize, Sequence) and not isinstance(optimize, str) else [optimize]


def check(config: Mapping[str, Any]) -> None:
    """Refuse an objective that there is not, one of the test set, and one of validation without a validation set.

    Args:
        config: resolved.

    Raises:
        UserError: names what is allowed.
    """
    given = config.get("optimize")
    for name in names_of(given):
        if isinstance(name, str) and f"{name}{FORCED}" in OBJECTIVES:
            raise UserError(
                f"optimize={name}: would choose by the test set, whose accuracy then says nothing of new data. Take "
                f"best_validation with data.val_fraction=0.1, or, knowing that, optimize={name}{FORCED}."
            )
        if not isinstance(name, str) or name not in OBJECTIVES:
            near = did_you_mean(name, OBJECTIVES) if isinstance(name, str) else ""
            raise UserError(f"optimize={shown(given)}: unknown.{near} Known: {', '.join(OBJECTIVES)}.")
        if OBJECTIVES[name].column.startswith("val/") and passes_of(config) == ["test"]:
            raise UserError(
                f"optimize={name}: needs a validation set, and data.val_fraction={lookup(config, 'data.val_fraction')} "
                "holds none out. Set data.val_fraction=0.1."
            )


def passes_of(config: Mapping[str, Any]) -> list[str] | None:
    """The evaluations of a run, as far as its config tells; None where only the data knows."""
    share = lookup(config, "data.val_fraction")
    if not isinstance(share, int | float) or isinstance(share, bool):
        return None
    return ["test", "val"] if share else ["test"]


def value_of(optimize: Any, folder: Path) -> Value:
    """What the finished run in `folder` gives back; None where it lacks it, as a run does that stopped too early."""
    names = names_of(optimize)
    found = [_value(OBJECTIVES[name], folder) for name in names]
    whole = [value for value in found if value is not None]
    if not names or len(whole) < len(names):
        return None
    return whole[0] if isinstance(optimize, str) else whole


def _value(objective: Objective, folder: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError, KeyError, Unreadable):
        if not objective.column:
            return ENERGY.of(read_result(folder))
        column = metrics(read_bytes(folder / METRICS))[objective.column]
        values = [float(value) for value in column if value]
        if values:
            return max(values) if objective.best else values[-1]
    return None
