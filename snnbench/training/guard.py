"""Stop a run whose loss or weights are no longer finite, and say where it began."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from snnbench.check import count
from snnbench.neurons import SpikingNeuron
from snnbench.training.module import classifier


class NonFinite(Exception):
    """The loss or a parameter became NaN or infinite; the message names epoch, step and layer."""


@dataclass(frozen=True)
class _Look:
    """At the loss of a step: the value may still be on its way from the device."""

    value: Tensor
    arrived: torch.cuda.Event | None
    input: Tensor | None
    where: str

    def loss(self) -> float:
        if self.arrived is not None:
            self.arrived.synchronize()
        return float(self.value)


class NonFiniteGuard(lightning.Callback):
    """Checks the loss of each step, while the weights are still those that produced it.

    On a CPU it looks before the backward pass. On a GPU that would wait for the device in each step, while the next one
    could be in its queue. There a fused optimizer is told, on the device, to leave the step out where the loss is not
    finite; and the loss is looked at once it has arrived: at most a step later, and before anything is written. With an
    optimizer that cannot leave a step out, a look waits.

    A membrane that is NaN fires no spike, so a network can be dead while its loss looks healthy; the parameters
    and running statistics are therefore checked at the end of each epoch, too.

    Args:
        every_n_steps: how often the loss is looked at.
    """

    def __init__(self, every_n_steps: int = 1) -> None:
        self.every_n_steps = count("NonFiniteGuard.every_n_steps", every_n_steps)
        self._input: Tensor | None = None
        self._look: _Look | None = None

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        classifier(pl_module).network.register_forward_pre_hook(self._keep)

    def _keep(self, network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._input = inputs[0]

    def on_before_backward(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, loss: Tensor
    ) -> None:
        self._settle(trainer, pl_module)
        if trainer.global_step % self.every_n_steps == 0:
            where = f"epoch {trainer.current_epoch + 1}, step {trainer.global_step + 1}"
            later = waits(loss.device) and left_out(trainer.optimizers, loss.detach())
            self._look = _Look(*(_sent(loss.detach()) if later else (loss.detach(), None)), self._input, where)
            if not later:
                self._settle(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx + 1 == trainer.num_training_batches:
            self._settle(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._settle(trainer, pl_module)

    def _settle(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Read the look that is open, if there is one."""
        look, self._look = self._look, None
        if look is None or math.isfinite(loss := look.loss()):
            return
        with trainer.precision_plugin.forward_context():  # what overflows in half precision may not in float32
            origin = find_non_finite(classifier(module).network, look.input)
        origin = origin or "the loss itself; every layer is finite"
        raise NonFinite(_message(f"the loss is {loss} in {look.where}: first {origin}"))

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        origin = non_finite_tensor(classifier(pl_module).network)
        if origin:
            raise NonFinite(_message(f"after epoch {trainer.current_epoch + 1}: first {origin}"))


def waits(device: torch.device) -> bool:
    """Whether to read a value means to wait until the device has done all that it was given."""
    return device.type != "cpu"


def left_out(optimizers: Sequence[Optimizer], loss: Tensor) -> bool:
    """Have the coming step left out where the loss is not finite, without a look at it; whether that can be had.

    PyTorch's fused optimizers do so for a gradient scaler, and this is its word to them; where there is one, it has its
    own when the gradients are there.
    """
    if not all(group.get("fused") for optimizer in optimizers for group in optimizer.param_groups):
        return False
    for optimizer in optimizers:
        optimizer.found_inf = torch.isfinite(loss).logical_not().float()  # type: ignore[attr-defined]
    return True


def _sent(value: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """A copy that is on its way to the CPU, and what tells that it has arrived."""
    cuda = value.device.type == "cuda"
    copy = torch.empty(value.shape, dtype=value.dtype, pin_memory=cuda).copy_(value, non_blocking=True)
    if not cuda:
        return copy, None
    arrived = torch.cuda.Event()
    arrived.record()
    return copy, arrived


def _message(what: str) -> str:
    return f"{what}. Try a lower optimizer.lr, trainer.gradient_clip_val=1, or trainer.precision=32-true."


def non_finite_tensor(network: nn.Module) -> str | None:
    """The first parameter or buffer that is not finite, in definition order."""
    for kind, tensors in (("parameter", network.named_parameters()), ("buffer", network.named_buffers())):
        for name, tensor in tensors:
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                return f"{kind} {name} is not finite"
    return None


def find_non_finite(network: nn.Module, x: Tensor | None) -> str | None:
    """The layer where non-finite values first appear, in the order of execution, for the input x.

    Runs the network once more without gradients; looks at each leaf's parameters, its output and, for neurons,
    at the membrane, which spikes hide.
    """
    if x is None:
        return non_finite_tensor(network)
    if not torch.isfinite(x).all():
        return "the input batch is not finite"
    found: list[str] = []

    def look(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if not found and isinstance(inputs[0], Tensor):
                found.extend(_complaints(name, module, inputs[0], output))

        return hook

    hooks = [
        module.register_forward_hook(look(name))
        for name, module in network.named_modules()
        if isinstance(module, SpikingNeuron) or not list(module.children())
    ]
    try:
        with torch.no_grad():
            network(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else non_finite_tensor(network)


def _complaints(name: str, module: nn.Module, x: Tensor, output: Any) -> list[str]:
    for key, parameter in module.named_parameters():
        if not torch.isfinite(parameter).all():
            return [f"layer {name}: its parameter {key} is not finite"]
    if isinstance(module, SpikingNeuron):
        _, state = module.run(x)
        return [f"layer {name}: its membrane {key} is not finite" for key, v in state.items() if _bad(v)]
    return [f"layer {name} ({type(module).__name__}): its output is not finite"] if _bad(output) else []


def _bad(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and not bool(torch.isfinite(value).all())
