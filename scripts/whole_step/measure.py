"""One case: checked, timed, and its memory taken."""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from timing import interleaved, peak_bytes
from torch import Tensor, nn

from snnbench import memory
from whole_step.cases import Case, rates
from whole_step.checks import far, released, unequal
from whole_step.contestants import Contestant, chosen, stepper

MEGABYTE = 2.0**20


@dataclasses.dataclass(frozen=True)
class How:
    """How cases are measured: the options of the command line that are not the case's."""

    device: str
    against: list[str]
    seconds: float
    clock: str
    check_steps: int
    check_batch: int
    peak: bool
    threads: int
    memory: str


def run_case(case: Case, how: How, contestants: dict[str, Contestant] | None = None) -> dict[str, Any]:
    """The case's row; a contestant that computes something else than it claims is not timed."""
    contestants = contestants or chosen(how.device, how.against)
    net, x, labels = case.build()
    net, x, labels = net.to(how.device), x.to(how.device), labels.to(how.device)
    away, failures = check(net, x, labels, contestants, how)
    steps: dict[str, Callable[[], Any]] = {}
    for name, contestant in contestants.items():
        own = contestant.network(net) if name not in failures else None
        if own is not None:
            steps[name] = stepper(own, contestant.input(x), labels)
    times = interleaved(steps, how.device, how.seconds, how.clock)
    fired = rates(net, x)
    medians = {name: statistics.median(values) for name, values in times.items()}
    compiled = [name for name, contestant in contestants.items() if contestant.compiled]
    kept = {name: memory.saved_bytes(step) / MEGABYTE for name, step in steps.items() if name not in compiled}
    row = {
        **dataclasses.asdict(case),
        "firing_rate": statistics.fmean(fired),
        "firing_rates": fired,
        "same": [name for name in steps if contestants[name].same],
        "distance_from_float64": away,
        "failures": failures,
        "rounds": len(times["plain"]),
        "milliseconds": {name: value * 1e3 for name, value in medians.items()},
        "quartiles": {name: _quartiles(values) for name, values in times.items()},
        "samples_per_second": {name: case.batch / value for name, value in medians.items()},
        "over_plain": {name: _over(values, times["plain"]) for name, values in times.items() if name != "plain"},
        "saved_megabytes": kept,
        "peak_megabytes": {},
    }
    if how.peak:
        row["peak_megabytes"] = {name: peak(case, name, steps[name], how) for name in steps}
    released(how.device)
    return row


def check(
    net: nn.Module, x: Tensor, labels: Tensor, contestants: dict[str, Contestant], how: How
) -> tuple[dict[str, float], dict[str, str]]:
    """How far each one's gradients lie from float64's, and who computes something else, and why."""
    if not how.check_steps:
        return {}, {}
    few = x[: how.check_batch] if x.dim() == 4 else x[:, : how.check_batch]
    failures = unequal(net, few, labels[: how.check_batch], contestants, how.check_steps)
    released(how.device)
    away, others = far(net, few, labels[: how.check_batch], contestants)
    released(how.device)
    return away, {**others, **failures}


def _quartiles(values: list[float]) -> tuple[float, float]:
    low, _, high = statistics.quantiles(values, n=4)
    return low * 1e3, high * 1e3


def _over(values: list[float], plain: list[float]) -> float:
    """The median, over rounds, of the time over the plain loop's in the same round."""
    return statistics.median(one / other for one, other in zip(values, plain, strict=True))


def peak(case: Case, name: str, step: Callable[[], Any], how: How) -> float | None:
    """MB that a process of its own has at its worst, or on a GPU what a step allocates there; None where it fails."""
    if how.device == "cuda":
        return peak_bytes(step) / MEGABYTE
    given = json.dumps({"case": dataclasses.asdict(case), "how": dataclasses.asdict(how), "name": name})
    done = subprocess.run([sys.executable, sys.argv[0], "--child", given], capture_output=True, text=True)
    return float(done.stdout) if done.returncode == 0 else None


def child(given: str) -> float:
    """MB of this process at its worst, after three steps of one contestant."""
    found = json.loads(given)
    case, how = Case(**found["case"]), How(**found["how"])
    net, x, labels = case.build()
    contestant = chosen(how.device, how.against)[found["name"]]
    own = contestant.network(net)
    assert own is not None, "it was timed"
    del net
    step = stepper(own, contestant.input(x), labels)
    for _ in range(3):
        step()
    return memory.peak() / MEGABYTE
