"""What a training step of each neuron costs, measured in turn, and what that forecasts of whole runs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from omegaconf import DictConfig
from torch import Tensor

from snnbench.training import build

SECONDS = 3.0
"""Of one measurement, all neurons together."""
ROUNDS = 5
SLOW = 0.5
"""Seconds that a step may take on the CPU; a batch that takes longer is halved for all of them."""
EVALUATED = 1 / 3
"""Of a training step's time, for a sample that is only evaluated."""
Who = TypeVar("Who")


@dataclass(frozen=True)
class Cost:
    """Of one training step, for one sample.

    Attributes:
        seconds: forward and backward, the median of steps that were taken in turn with the others'.
        kept: bytes that the forward pass keeps for the backward pass.
    """

    seconds: float
    kept: float


def measure(configs: Mapping[Who, DictConfig]) -> dict[Who, Cost]:
    """The cost of each config's network, all with one batch of random input, on the device that they would train on."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    networks = {who: build.build_network(cfg).to(device).train() for who, cfg in configs.items()}
    first = next(iter(configs.values()))
    loss, batch = build.make(first, "loss"), int(first.batch_size)
    while True:
        steps = {who: _step(network, loss, *_batch(first, batch, device)) for who, network in networks.items()}
        for step in steps.values():
            step()
        if device.type == "cuda" or batch <= 2 or max(_seconds(step, device) for step in steps.values()) <= SLOW:
            break
        batch //= 2
    times: dict[Who, list[float]] = {who: [] for who in steps}
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or any(len(found) < ROUNDS for found in times.values()):
        for who, step in steps.items():
            times[who].append(_seconds(step, device))
    return {who: Cost(statistics.median(times[who]) / batch, _kept(step) / batch) for who, step in steps.items()}


def forecast(cost: Cost, samples: int, epochs: int) -> float:
    """Seconds of a whole run, as many samples evaluated as a third of those trained on: a guess until one was run."""
    return cost.seconds * samples * epochs * (1 + EVALUATED / 3)


def _batch(cfg: DictConfig, batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    data: Any = cfg.data
    size = data.image_size
    height, width = (size, size) if isinstance(size, int) else size
    frames = (int(cfg.T),) if "T" in data else ()  # events have a frame a timestep, images are one
    shape = (*frames, batch, int(data.in_channels), int(height), int(width))
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(int(data.num_classes), (batch,), generator=generator)
    return torch.randn(shape, generator=generator).to(device), labels.to(device)


def _step(network: torch.nn.Module, loss: Any, images: Tensor, labels: Tensor) -> Callable[[], None]:
    def step() -> None:
        for parameter in network.parameters():
            parameter.grad = None
        loss(network(images), labels).backward()

    return step


def _seconds(step: Callable[[], None], device: torch.device) -> float:
    """Of one call, the device's work included."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _kept(step: Callable[[], None]) -> int:
    """Bytes that autograd keeps between forward and backward, each storage counted once."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(storages.values())
