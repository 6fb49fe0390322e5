"""Who runs the step: this project with its parts on and off, the plain loop, torch.compile, two libraries."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from snnbench.backbones.layers import AdaptiveAvgPool2d, AvgPool2d, Conv2d, MaxPool2d, SpikingUnit
from snnbench.backbones.norms import BatchNorm
from snnbench.neurons.base import spiking_layers
from whole_step import libraries


def _neurons_off(net: nn.Module) -> None:
    for layer in spiking_layers(net).values():
        layer.engine = "reference"


def _convolutions_off(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, Conv2d | AvgPool2d | MaxPool2d | AdaptiveAvgPool2d):
            module.engine = "reference"


def _fusing_off(net: nn.Module) -> None:
    """Norms are PyTorch's then, which are less exact with channels last."""
    _layout_off(net)
    for module in net.modules():
        if isinstance(module, SpikingUnit):
            module.fuses = ()
        elif isinstance(module, BatchNorm):
            module.fuses = False


def _fusing_on(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, SpikingUnit):
            module.fuses = ("cpu", "cuda")


def _layout_off(net: nn.Module) -> None:
    net.layout = "contiguous"  # type: ignore[assignment]


OFF: dict[str, Callable[[nn.Module], None]] = {
    "neurons": _neurons_off,
    "convolutions": _convolutions_off,
    "fusing": _fusing_off,
    "layout": _layout_off,
}
"""The project's parts, each with what turns it off in a network whose parts are all on: one entry for a further part.

A contestant "without-<part>" is the project without it; the plain loop is without them all.
"""


@dataclasses.dataclass(frozen=True)
class Contestant:
    """What runs a step.

    Attributes:
        off: parts of the project that it does without.
        bits: whether it keeps bits alone (memory=bits).
        fuse: whether norm and neuron are one operation on a GPU, too (fuse=true).
        channels_last: whether weights and input have their channels last in memory.
        compiled: whether it goes through torch.compile as a whole.
        library: whose neurons stand in the project's places, or None.
        same: whether it claims to compute what the plain loop computes.
    """

    off: tuple[str, ...] = ()
    bits: bool = False
    fuse: bool = False
    channels_last: bool = False
    compiled: bool = False
    library: libraries.Library | None = None
    same: bool = True

    def network(self, net: nn.Module) -> nn.Module | None:
        """A copy of the network as this contestant runs it; None where there is no such neuron."""
        net = copy.deepcopy(net)
        for part in self.off:
            OFF[part](net)
        if self.library is not None and not libraries.put_into(net, self.library):
            return None
        if self.bits:
            from snnbench.backbones.step import set_step  # reads configs, for which a machine needs Hydra

            set_step(net, memory="bits")
        if self.fuse:
            _fusing_on(net)
        if self.channels_last:
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            net.layout = "channels_last"  # type: ignore[assignment]
        return torch.compile(net, dynamic=False) if self.compiled else net  # type: ignore[return-value]

    def input(self, x: Tensor) -> Tensor:
        """The batch, images [B, C, H, W] or frames [T, B, C, H, W], in this contestant's layout."""
        if not self.channels_last:
            return x
        images = x.flatten(0, -4).contiguous(memory_format=torch.channels_last)
        return images.unflatten(0, x.shape[:-3])


def all_contestants(device: str) -> dict[str, Contestant]:
    """By name; the plain loop, which the others are set against, is the first."""
    plain = tuple(OFF)
    found = {"plain": Contestant(plain), "auto": Contestant()}
    found |= {f"without-{part}": Contestant((part,)) for part in OFF}
    found["bits"] = Contestant(bits=True)
    if device == "cuda":
        found["fuse"] = Contestant(fuse=True)
        found["channels-last"] = Contestant(channels_last=True)
        found["fuse-channels-last"] = Contestant(fuse=True, channels_last=True)
    found["compile-auto"] = Contestant(compiled=True)
    found["compile"] = Contestant(plain, compiled=True)
    found["compile-channels-last"] = Contestant(plain, compiled=True, channels_last=True)
    for name, library in libraries.libraries(device).items():
        found[name] = Contestant(plain, library=library, same=library.same)
    return found


GROUPS = {
    "parts": lambda name: name.startswith("without-"),
    "bits": lambda name: name == "bits",
    "fuse": lambda name: name.startswith("fuse"),
    "layout": lambda name: name == "channels-last",
    "compile": lambda name: name.startswith("compile"),
    "spikingjelly": lambda name: name.startswith("spikingjelly"),
    "snntorch": lambda name: name.startswith("snntorch"),
}
"""What `--against` can name; the plain loop and the project as it is are always there."""


def chosen(device: str, groups: list[str]) -> dict[str, Contestant]:
    """The contestants of these groups."""
    known = all_contestants(device)
    return {
        name: contestant
        for name, contestant in known.items()
        if name in ("plain", "auto") or any(GROUPS[group](name) for group in groups)
    }


def stepper(
    net: nn.Module,
    x: Tensor,
    labels: Tensor,
    lr: float = 0.0,
    mixed: torch.dtype | None = None,
    run: Callable[[Tensor], Tensor] | None = None,
) -> Callable[[], Tensor]:
    """A training step that returns its loss: forward, loss, backward, SGD with momentum.

    With lr = 0, each step is like the one before. With `mixed`, forward and loss are under autocast to that dtype.
    `run` does the network's forward, if it does not itself.
    """
    forward = run or net
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)

    def step() -> Tensor:
        optimizer.zero_grad()
        with torch.autocast(x.device.type, mixed, enabled=mixed is not None):
            loss = functional.cross_entropy(forward(x).mean(0), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step
