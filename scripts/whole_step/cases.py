"""A network with its weights, a batch, and how often its neurons fire.

Configs and runs are imported where they are read: what needs none works where Hydra is not installed.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from snnbench.backbones.heads import Dropout
from snnbench.backbones.layers import SpikingUnit
from snnbench.errors import UserError
from snnbench.neurons.base import spiking_layers
from snnbench.runs.schema import CHECKPOINTS

NETWORKS = {
    "resnet20": "cifar10", "resnet19": "cifar10", "resnet18_preact": "cifar10", "vggsnn": "cifar10dvs",
    "plifnet_cifar10": "cifar10", "plifnet_mnist": "mnist", "plifnet_nmnist": "nmnist",
    "plifnet_cifar10dvs": "cifar10dvs", "plifnet_dvs128gesture": "dvs128gesture",
}  # fmt: skip
"""The networks, each with the data that it was built for."""
EVENTS = ("cifar10dvs", "nmnist", "dvs128gesture")
HALVINGS = 24


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the benchmark.

    Attributes:
        network, neuron: their names in the configs; ignored where `checkpoint` gives them.
        steps: timesteps.
        width: of the network, or None as its config has it.
        batch: samples.
        size: height and width of the input, or None as the data has it.
        rate: the share of ones that all neuron layers are brought to, or None for what untrained weights give.
        checkpoint: the folder of a run, whose network, weights and data are taken.
    """

    network: str
    neuron: str
    steps: int
    width: int | None = None
    batch: int = 16
    size: int | None = None
    rate: float | None = None
    checkpoint: str | None = None

    def build(self) -> tuple[nn.Module, Tensor, Tensor]:
        """The network, a batch for it, and its labels.

        Raises:
            UserError: they cannot be had.
        """
        from snnbench.config import register_schema

        register_schema()
        net, x, labels = self._trained() if self.checkpoint else self._untrained()
        if self.rate is not None:
            bring_to_rate(net, x, self.rate)
        return net, x, labels

    def _untrained(self) -> tuple[nn.Module, Tensor, Tensor]:
        from hydra import compose, initialize_config_dir

        from snnbench.config import CONFIGS
        from snnbench.training.build import build_network

        data = NETWORKS[self.network]
        words = [f"data={data}", f"backbone={self.network}", f"neuron={self.neuron}", f"T={self.steps}", "engine=auto"]
        words += [f"backbone.width={self.width}"] if self.width else []
        words += [f"data.image_size={self.size}"] if self.size else []
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            cfg = compose("train", overrides=words)
        generator = torch.Generator().manual_seed(0)
        shape = (self.batch, cfg.data.in_channels, cfg.data.image_size, cfg.data.image_size)
        x = torch.randn((self.steps, *shape) if data in EVENTS else shape, generator=generator)
        return build_network(cfg), x, torch.randint(cfg.data.num_classes, (self.batch,), generator=generator)

    def _trained(self) -> tuple[nn.Module, Tensor, Tensor]:
        from snnbench.runs.folder import open_folder
        from snnbench.training.build import build_data, build_network
        from snnbench.training.checkpoint import of_network, read_checkpoint

        folder, cfg = open_folder(str(self.checkpoint))
        cfg.batch_size, cfg.data.num_workers = self.batch, 0
        net = build_network(cfg)
        net.load_state_dict(of_network(read_checkpoint(Path(folder) / CHECKPOINTS / "last.ckpt")["state_dict"]))
        data = build_data(cfg)
        x, labels = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
        if labels.is_floating_point():
            raise UserError(f"checkpoint={self.checkpoint}: its augmentation mixes labels; take another run.")
        return net, x, labels


def without_chance(net: nn.Module) -> nn.Module:
    """The network with nothing dropped, so that copies can be compared."""
    for module in net.modules():
        if isinstance(module, Dropout):
            module.p = 0.0
    return net


def bring_to_rate(net: nn.Module, x: Tensor, rate: float) -> None:
    """Move the norms' biases, and where a neuron has no norm its threshold's place, so that each layer fires so often.

    In one pass: each neuron layer, once its input is there, looks for the shift that gives the rate, and what follows
    sees the spikes of that. A layer that cannot be brought there, such as one whose input is 0 throughout, keeps what
    came nearest.
    """
    hooks = []
    for name, unit in [(name, module) for name, module in net.named_modules() if isinstance(module, SpikingUnit)]:
        biases = [p for key, p in unit.norm.named_parameters() if key.rpartition(".")[2] == "bias"]
        if not biases:
            raise UserError(f"--rates: the norm of {name} has no bias that could be moved.")
        hooks.append(unit.neuron.register_forward_pre_hook(_shifts(biases[0], rate)))
    _observe(net, x, hooks)


def _observe(net: nn.Module, x: Tensor, hooks: list[RemovableHandle]) -> None:
    """One forward pass for what the hooks do; then they go, and the buffers are as they were."""
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    for name, buffer in net.named_buffers():
        buffer.copy_(before[name])


def _shifts(bias: nn.Parameter, rate: float) -> Any:
    def hook(neuron: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        current, *rest = args
        reach = 8 * float(current.std()) + 8
        low, high = -reach, reach
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            fires = float(neuron.forward(current + middle).mean())
            low, high = (middle, high) if fires < rate else (low, middle)
        bias.add_(high)
        return (current + high, *rest)

    return hook


def rates(net: nn.Module, x: Tensor) -> list[float]:
    """The share of ones of each neuron layer."""
    found: list[float] = []

    def look(_module: nn.Module, _args: Any, spikes: Tensor) -> None:
        found.append(float(spikes.mean()))

    _observe(net, x, [layer.register_forward_hook(look) for layer in spiking_layers(net).values()])
    return found
