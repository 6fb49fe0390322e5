"""Whole training steps of the full ResNet-20 on images of CIFAR-10's size: time and peak memory of all who can run one.

`python -m on_gpu.step CASE FILE` measures one case in a process of its own, as a torch.compile that may take too long
needs it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import baselines
import torch
from timing import Steps, between_events, interleaved, peak_bytes, replays, spread
from torch import Tensor, nn
from whole_step.cases import rates
from whole_step.checks import far, released
from whole_step.contestants import Contestant, all_contestants, stepper

from on_gpu.record import Late, Record
from snnbench.backbones import ResNet20
from snnbench.backbones.norms import BatchNorm
from snnbench.files import read_json, write_json

MEGABYTE = 2.0**20
EAGER = ("plain", "auto", "fuse", "channels-last", "fuse-channels-last", "spikingjelly")
COMPILED = ("compile", "compile-channels-last")
COMPILING = 120.0
"""Seconds that a torch.compile of the whole network, its check and its measurement may take."""
LOSS = 0.1
"""How far, relative to the plain loop's, a loss under autocast may lie: layouts round otherwise, and spikes flip."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A network of one neuron, and who is measured: all whose names begin so, beside the plain loop."""

    neuron: str
    mixed: str | None = None
    names: tuple[str, ...] = EAGER
    steps: int = 4
    batch: int = 128
    width: int = 64
    size: int = 32
    device: str = "cuda"
    seconds: float = 3.0

    @property
    def name(self) -> str:
        return f"{self.neuron} {self.mixed or 'float32'}" + ("" if self.names == EAGER else f" {' '.join(self.names)}")

    def build(self) -> tuple[nn.Module, Tensor, Tensor]:
        """The network, images and labels, on the device; without configs, for which a machine needs Hydra."""
        torch.manual_seed(0)
        neuron = functools.partial(baselines.NEURONS[self.neuron])
        net = ResNet20(
            neuron=neuron, norm=BatchNorm, T=self.steps, in_channels=3, num_classes=10, image_size=self.size,
            width=self.width,
        )  # fmt: skip
        images = torch.randn(self.batch, 3, self.size, self.size)
        labels = torch.randint(10, (self.batch,))
        return net.to(self.device), images.to(self.device), labels.to(self.device)

    def contestants(self) -> dict[str, Contestant]:
        known = all_contestants(self.device)
        return {
            name: each
            for name, each in known.items()
            if name in ("plain", *self.names) or name.partition("-")[0] == "spikingjelly" in self.names
        }


FIRST = (Case("LIF"), Case("DALIF"), Case("LIF", "bfloat16"), Case("DALIF", "bfloat16"))
SECOND = (
    Case("LIF", names=("compile",)),
    Case("LIF", "bfloat16", ("compile-channels-last",)),
    Case("DALIF", names=("compile",)),
    Case("LIF", names=("compile-channels-last",)),
)
THIRD = (Case("ARLIF"), Case("ARLIF", "bfloat16"), Case("LIF", "float16"), Case("DALIF", "float16"))


def run(record: Record) -> None:
    for group in (FIRST, SECOND, THIRD):
        measured = apart if group is SECOND else row_of
        record.measure({case.name: functools.partial(measured, case, record) for case in group})


def apart(case: Case, record: Record) -> dict[str, Any]:
    """The row of a case, from a process of its own that ends in time."""
    seconds = min(COMPILING, record.remaining - 1)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "row.json"
        words = [sys.executable, "-m", "on_gpu.step", json.dumps(dataclasses.asdict(case)), str(out)]
        process = subprocess.Popen(words)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            if seconds < COMPILING:
                raise Late from error
            return {"late": f"not compiled and measured in {COMPILING:.0f} s"}
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            raise RuntimeError(f"exit code {process.returncode}; see the log")
        found: dict[str, Any] = read_json(out)
    return found


def row_of(case: Case, _record: Record | None = None) -> dict[str, Any]:
    """Everybody checked, timed in turn, alone by graph replay, and at the peak of memory."""
    net, images, labels = case.build()
    contestants = case.contestants()
    away, failures = checked(case, net, images, labels, contestants)
    mixed = dtype(case)
    steps: Steps = {}
    for name, contestant in contestants.items():
        own = contestant.network(net) if name not in failures else None
        if own is not None:
            steps[name] = stepper(own, contestant.input(images), labels, mixed=mixed)
    if mixed is not None:
        failures |= off(steps)
        steps = {name: step for name, step in steps.items() if name not in failures}
    times = interleaved(steps, case.device, case.seconds)
    row = {
        **{key: value for key, value in dataclasses.asdict(case).items() if key != "names"},
        "firing_rate": statistics.fmean(rates(net, images)),
        "distance_from_float64": away,
        "failures": failures,
        **summary(case, times),
    }
    if case.device == "cuda":
        row["peak_megabytes"] = {name: peak_bytes(step) / MEGABYTE for name, step in steps.items()}
        graphs, row["not_captured"] = replays(steps)
        found = between_events(graphs, case.seconds / 3) if graphs else {}
        row["graph_milliseconds"] = {name: statistics.median(each) * 1e3 for name, each in found.items()}
    released(case.device)
    return row


def summary(case: Case, times: dict[str, list[float]]) -> dict[str, Any]:
    medians = {name: statistics.median(found) for name, found in times.items()}
    return {
        "milliseconds": {name: value * 1e3 for name, value in medians.items()},
        "spread": {name: spread(found) for name, found in times.items()},
        "samples_per_second": {name: case.batch / value for name, value in medians.items()},
        "over_plain": {name: value / medians["plain"] for name, value in medians.items()},
    }


def dtype(case: Case) -> torch.dtype | None:
    return getattr(torch, case.mixed) if case.mixed else None


def checked(
    case: Case, net: nn.Module, images: Tensor, labels: Tensor, contestants: dict[str, Contestant]
) -> tuple[dict[str, float], dict[str, str]]:
    """How far each one's gradients in float32 lie from float64's, and whose lie too far; of a few samples.

    What is compiled is checked on all samples: others would be compiled anew.
    """
    if case.mixed:
        return {}, {}
    few = len(images) if any(each.compiled for each in contestants.values()) else max(2, len(images) // 8)
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        found = far(net, images[:few], labels[:few], contestants)
    finally:
        torch.backends.cudnn.allow_tf32 = before
    if not any(each.compiled for each in contestants.values()):
        released(case.device)
    return found


def off(steps: dict[str, Callable[[], Tensor]]) -> dict[str, str]:
    """Whose loss under autocast is another than the plain loop's."""
    losses = {name: float(step()) for name, step in steps.items()}
    plain = losses["plain"]
    return {name: f"loss {loss:.4g}, not {plain:.4g}" for name, loss in losses.items()
            if not abs(loss - plain) <= LOSS * abs(plain)}  # fmt: skip


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    write_json(Path(sys.argv[2]), row_of(Case(**{**given, "names": tuple(given["names"])})))
