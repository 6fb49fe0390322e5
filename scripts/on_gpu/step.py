"""Whole training steps of the full ResNet-20 on images like CIFAR-10's: time and peak memory of all who can run one."""

from __future__ import annotations

import dataclasses
import functools
import statistics
from collections.abc import Callable
from typing import Any

import baselines
import torch
from timing import Steps, between_events, interleaved, peak_bytes, replays, spread
from torch import Tensor, nn
from whole_step.cases import rates
from whole_step.checks import far_of, networks, other, released
from whole_step.contestants import Contestant, all_contestants, stepper

from on_gpu.apart import apart
from on_gpu.record import Record
from snnbench.backbones import ResNet20
from snnbench.backbones.norms import BatchNorm
from snnbench.training.replay import Replay

MEGABYTE = 2.0**20
EAGER = ("plain", "auto", "fuse", "channels-last", "fuse-channels-last", "spikingjelly")
REPLAYED = ("auto", "channels-last", "fuse-channels-last")
"""Who runs with cuda_graph=true, too: as `snnbench.training.replay` compares it with the network and replays it."""
COMPILING, LEAST = 120.0, 40.0
"""Seconds that a torch.compile of the whole network, its check and its measurement may take, and take at least."""


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


GROUPS = (
    (Case("LIF"), Case("DALIF"), Case("LIF", "bfloat16"), Case("DALIF", "bfloat16")),
    (Case("LIF", names=("compile",)), Case("LIF", "bfloat16", ("compile-channels-last",))),
    (Case("ARLIF"), Case("ARLIF", "bfloat16"), Case("LIF", "float16"), Case("DALIF", "float16")),
    (Case("DALIF", names=("compile",)), Case("LIF", names=("compile-auto",))),
)
"""The most telling first; what is compiled takes a minute, and a process of its own."""


def run(record: Record) -> None:
    for group in GROUPS:
        measured = row_of if group[0].names == EAGER else compiled
        record.measure({case.name: functools.partial(measured, case, record) for case in group})


def compiled(case: Case, record: Record) -> dict[str, Any]:
    """The row of a case whose torch.compile may take too long."""
    return apart("on_gpu.step", dataclasses.asdict(case), record, COMPILING, LEAST)


def answer(given: dict[str, Any]) -> dict[str, Any]:
    """The row of a case that came as JSON."""
    return row_of(Case(**{**given, "names": tuple(given["names"])}))


def row_of(case: Case, _record: Record | None = None) -> dict[str, Any]:
    """Everybody checked, timed in turn, alone by graph replay, and at the peak of memory."""
    net, images, labels = case.build()
    contestants = case.contestants()
    mixed = getattr(torch, case.mixed) if case.mixed else None
    nets = networks(net, contestants)
    away, failures = checked(case, nets, net, images, labels, mixed)
    steps: Steps = {
        name: stepper(own, contestants[name].input(images), labels, mixed=mixed)
        for name, own in nets.items()
        if name not in failures
    }
    own = {name: nets[name] for name in REPLAYED if name in steps and case.device == "cuda"}
    replayed = replaying(own, contestants, images, labels, mixed)
    failures |= {name: run.obstacle for name, (run, _) in replayed.items() if run.obstacle}
    also = {name: step for name, (run, step) in replayed.items() if not run.obstacle}
    times = interleaved(steps | also, case.device, case.seconds)
    row = {
        **{key: value for key, value in dataclasses.asdict(case).items() if key != "names"},
        "firing_rate": statistics.fmean(rates(net, images)),
        "distance_from_float64" if mixed is None else "length_over_plain": away,
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


def replaying(
    nets: dict[str, nn.Module],
    contestants: dict[str, Contestant],
    images: Tensor,
    labels: Tensor,
    mixed: torch.dtype | None,
) -> dict[str, tuple[Replay, Callable[[], Tensor]]]:
    """The steps of `nets` as cuda_graph=true runs them, recorded and compared; their memory is the graphs' own."""
    found = {}
    for name, net in nets.items():
        run = Replay(net)
        step = stepper(net, contestants[name].input(images), labels, mixed=mixed, run=run)
        step()
        found[f"{name}-replayed"] = run, step
    return found


def summary(case: Case, times: dict[str, list[float]]) -> dict[str, Any]:
    medians = {name: statistics.median(found) for name, found in times.items()}
    return {
        "milliseconds": {name: value * 1e3 for name, value in medians.items()},
        "spread": {name: spread(found) for name, found in times.items()},
        "samples_per_second": {name: case.batch / value for name, value in medians.items()},
        "over_plain": {name: value / medians["plain"] for name, value in medians.items()},
    }


def checked(
    case: Case, nets: dict[str, nn.Module], net: nn.Module, images: Tensor, labels: Tensor, mixed: torch.dtype | None
) -> tuple[dict[str, float], dict[str, str]]:
    """How far each one's gradients lie from float64's, or under autocast their lengths; and whose are wrong.

    A few samples are compared, but all where something is compiled: it would be compiled anew.
    """
    contestants = case.contestants()
    compiles = any(each.compiled for each in contestants.values())
    few = len(images) if compiles else max(2, len(images) // 8)
    some = (images[:few], labels[:few], contestants)
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        return far_of(nets, net, *some) if mixed is None else other(nets, *some, mixed)
    finally:
        torch.backends.cudnn.allow_tf32 = before
