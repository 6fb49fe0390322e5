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

from snnbench.backbones.base import size_pair
from snnbench.memory import saved_bytes
from snnbench.training import build
from snnbench.training.progress import PASS

SECONDS = 3.0
"""Of one measurement, all neurons together."""
ROUNDS = 5
SLOW = 0.5
"""Seconds that a step may take on the CPU; a batch that takes longer is halved for all of them."""
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
    losses, batch = {who: build.build_loss(first, network) for who, network in networks.items()}, int(first.batch_size)
    while True:
        steps = {who: _step(network, losses[who], *_batch(first, batch, device)) for who, network in networks.items()}
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
    return {who: Cost(statistics.median(times[who]) / batch, saved_bytes(step) / batch) for who, step in steps.items()}


def forecast(cost: Cost, samples: int, epochs: int) -> float:
    """Seconds of a whole run, as many samples evaluated as a third of those trained on: a guess until one was run."""
    return cost.seconds * samples * epochs * (1 + PASS / 3)


def input_shape(cfg: DictConfig, batch: int) -> tuple[int, ...]:
    """What a batch of the config's data is: frames [T, B, C, H, W] of events, or images [B, C, H, W]."""
    data: Any = cfg.data
    size = data.image_size if isinstance(data.image_size, int) else tuple(data.image_size)
    return *((int(cfg.T),) if "T" in data else ()), batch, int(data.in_channels), *size_pair(size)


def _batch(cfg: DictConfig, batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(int(cfg.data.num_classes), (batch,), generator=generator)
    return torch.randn(input_shape(cfg, batch), generator=generator).to(device), labels.to(device)


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
