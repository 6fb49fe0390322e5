"""Networks, steps and what records them, for the tests of replayed steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from snnbench.neurons import PLIF
from snnbench.training import replay
from tests.training.graphed import graphed

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH = 6


class Network(nn.Module):
    """What a recording has to get right: running statistics, dropout, a neuron's attributes, a parameter unused."""

    def __init__(self, neuron: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 8), nn.Linear(8, 3)
        self.norm, self.neuron = nn.BatchNorm1d(8), neuron or PLIF()
        self.dropout = nn.Dropout(0.3)
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x)).expand(4, -1, -1) * 3
        return self.second(self.dropout(self.neuron(x)))


class Recorder:
    """Records as CUDA does, where there is a GPU; else by what stands in for it."""

    def __init__(self) -> None:
        self.recordings = self.replays = 0

    def __call__(self, whole: replay._Whole, x: Tensor) -> Callable[[Tensor], Tensor]:
        self.recordings += 1
        kept = (RECORD if DEVICE == "cuda" else graphed)(whole, x)
        shape = x.shape

        def run(x: Tensor) -> Tensor:
            self.replays += 1
            assert x.shape == shape
            return kept(x)

        return run


RECORD = replay.record


def made(neuron: Callable[[], nn.Module] = PLIF) -> Network:
    torch.manual_seed(3)
    return Network(neuron()).to(DEVICE)


def batch(seed: int = 0, size: int = BATCH) -> Tensor:
    return torch.randn(size, 5, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def step(network: nn.Module, run: Callable[[Tensor], Tensor], seed: int, size: int = BATCH) -> Tensor:
    torch.manual_seed(seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    optimizer.zero_grad()
    logits = run(batch(seed, size))
    logits.square().sum().backward()
    optimizer.step()
    return logits.detach().clone()


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
