"""A network with all that belongs to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import Tensor, nn

from snnbench.check import choice
from snnbench.neurons.base import SpikingNeuron, spiking_layers
from snnbench.runs.schema import Result
from snnbench.training import build


@contextlib.contextmanager
def record(network: nn.Module, *names: str) -> Iterator[dict[str, dict[str, Tensor]]]:
    """`SpikingNeuron.record` for all spiking layers of a network: traces by layer, and then by name.

    A norm and the neuron behind it, which a CPU runs as one operation, run one by one meanwhile; where its sums are
    rounded otherwise, a membrane at the threshold may decide otherwise.
    """
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(layer.record(*names)) for name, layer in spiking_layers(network).items()}


@dataclass(eq=False, repr=False)
class Model:
    """What `snnbench.load` gives: a network, the config that it was built from, its data.

    Attributes:
        network: takes images [B, C, H, W] or frames [T, B, C, H, W], returns logits of every timestep [T, B, classes];
            on the CPU and in evaluation mode.
        config: all of it, resolved.
        folder: of the run, or of what was exported; None of a network that was built from a row or from words.
        result: the run's result.json; None where there is no run.
        epoch: of the weights, counted from 0; None where they are those that a training would begin with.
    """

    network: nn.Module
    config: DictConfig
    folder: Path | None = None
    result: Result | None = None
    epoch: int | None = None

    @property
    def layers(self) -> dict[str, SpikingNeuron]:
        """The spiking layers by their names in the network, from the input on."""
        return spiking_layers(self.network)

    @cached_property
    def data(self) -> Any:
        """The data module, a `snnbench.data.module.BenchData`; its files are looked for when it is first asked for.

        Raises:
            UserError: they are not there, and cannot be downloaded.
        """
        return build.build_data(self.config)

    def batches(self, part: str = "test") -> Iterator[tuple[Tensor, Tensor]]:
        """Batches (x, labels [B]) as the network takes them: x normalised, [B, C, H, W] or [T, B, C, H, W].

        Args:
            part: "train", augmented and in the order of the first epoch; "test"; or "val", of a validation split.
        """
        data = self.data
        loaders = dict(zip(data.eval_names, data.val_dataloader(), strict=True))
        choice("part", part, ("train", *loaders))
        for batch in data.train_dataloader() if part == "train" else loaders[part]:
            yield data.on_after_batch_transfer(batch, 0)

    def record(self, *names: str) -> AbstractContextManager[dict[str, dict[str, Tensor]]]:
        """`record` for its network: `with model.record("v", "s") as traces: model.network(x)`."""
        return record(self.network, *names)

    def __repr__(self) -> str:
        cfg = self.config
        weights = "as initialised" if self.epoch is None else f"weights after epoch {self.epoch + 1}"
        parts = f"data={cfg.data.get('name')}, backbone={cfg.backbone.get('name')}, neuron={cfg.neuron.get('name')}"
        return f"Model({cfg.name}: {parts}, T={cfg.T}, {weights})"
