"""A network's training step as a CUDA graph: recorded once, then launched as a whole, with no work for the host."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

DEVICE = "cuda"
YARDSTICK = 4.0
"""A replay may differ from the network by so many times what the network differs from itself, repeated."""
ROUNDING = 1e-6
"""A relative difference that is none."""
REPEATABLE = 1e-2
"""A network that differs from itself by more draws random numbers that no recording draws."""


class Replay:
    """Stands for a network in training: forward and backward of full batches are replayed, all else is its own.

    A recording repeats kernels with the numbers that they were launched with, whatever has become of the neuron's
    attributes since. So on the first batch of each epoch it is compared with the network itself: outputs, gradients
    and running statistics. Where they differ, the step is recorded anew; where it then still differs, or cannot be
    recorded, the network runs as it does without, and a line says so.

    A batch's outputs are overwritten by the next one.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._recorded: Callable[[Tensor], Tensor] | None = None
        self._form: Any = None
        self._places: list[tuple[Tensor, int]] = []
        self._due = True
        self._told = False
        self.obstacle = ""
        """Why nothing is replayed; "" where it is."""

    def __reduce__(self) -> tuple[type[Replay], tuple[nn.Module]]:
        return Replay, (self._network,)  # a copy records its own

    def renew(self) -> None:
        """Have the recording compared with the network on the next batch: an epoch begins."""
        self._due = True

    def __call__(self, x: Tensor) -> Tensor:
        """Logits [T, B, K] of a batch."""
        replayable = x.device.type == DEVICE and self._network.training and torch.is_grad_enabled()
        if self.obstacle or not replayable or x.requires_grad:
            return self._own(x)
        if self._due or any(tensor.data_ptr() != place for tensor, place in self._places):
            self._due = False
            self._settle(x)
        if self._recorded is None or self._form != _form(x):
            return self._own(x)
        self._network.forward = self._recorded  # so that hooks on the network itself run, beside the replay
        try:
            return self._own(x)
        finally:
            del self._network.forward

    def _own(self, x: Tensor) -> Tensor:
        logits: Tensor = self._network(x)
        return logits

    def _settle(self, x: Tensor) -> None:
        """See to a recording that does what the network does."""
        hooked = [name for name, module in self._network.named_modules() if name and _has_hooks(module)]
        if hooked:
            self._give_up(f"{hooked[0]} has hooks, which a replay would leave out")
            return
        tensors = [*self._network.parameters(), *self._network.buffers()]
        places = [(tensor, tensor.data_ptr()) for tensor in tensors]
        same = self._form == _form(x) and list(map(_identity, places)) == list(map(_identity, self._places))
        try:
            if same and self._recorded is not None and self._agrees(x):
                return
            self._form, self._places = _form(x), places
            self._record(x)
            if not self._agrees(x):
                self._give_up("a replay differs from the network itself")
                return
        except (RuntimeError, AssertionError) as error:  # of a capture, whatever does not belong into one
            self._give_up(f"{type(error).__name__}: {error}".splitlines()[0][:200])
            return
        if not self._told:
            self._told = True
            logging.getLogger("snnbench").info("cuda_graph: steps are replayed, as compared with the network itself")

    def _give_up(self, why: str) -> None:
        self._recorded, self._places, self.obstacle = None, [], why
        logging.getLogger("snnbench").warning(
            "cuda_graph: this step cannot be replayed (%s), so it runs as without; cuda_graph=false does not try.", why
        )

    def _record(self, x: Tensor) -> None:
        self._recorded = None
        gc.collect()  # an older graph that is freed within a capture ends it
        gc.disable()
        try:
            with self._as_before(x), _autocast(x):
                self._recorded = record(_Whole(self._network), x.clone())
        finally:
            gc.enable()

    def _agrees(self, x: Tensor) -> bool:
        """Whether a replay does what the network does; also where that is not finite, so that nothing can be said."""
        assert self._recorded is not None
        outcomes = []
        for run in (self._network.forward, self._network.forward, self._recorded):
            with self._as_before(x), _autocast(x):
                outcomes.append(self._outcome(run, x))
        for own, again, replayed in zip(*outcomes, strict=True):
            length, noise = _length(own), _distance(own, again)
            # of what is not finite, no number is larger
            if noise > REPEATABLE * length or _distance(own, replayed) > max(YARDSTICK * noise, ROUNDING * length):
                return False
        return True

    def _outcome(self, run: Callable[[Tensor], Tensor], x: Tensor) -> list[list[Tensor]]:
        """Logits, gradients and running statistics of a step whose loss is a sum with fixed weights."""
        logits = run(x)
        weights = torch.linspace(-1, 1, logits.numel(), device=x.device).view_as(logits).to(logits.dtype)
        parameters = [parameter for parameter in self._network.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad(logits, parameters, weights, allow_unused=True)
        found = [[logits], [gradient for gradient in gradients if gradient is not None], [*self._network.buffers()]]
        return [[tensor.detach().clone() for tensor in tensors if tensor.is_floating_point()] for tensors in found]

    @contextmanager
    def _as_before(self, x: Tensor) -> Iterator[None]:
        """Put back what a step changes beside gradients: buffers, and where random numbers go on."""
        kept = [(buffer, buffer.detach().clone()) for buffer in self._network.buffers()]
        try:
            with torch.random.fork_rng([x.device] if x.is_cuda else []):
                yield
        finally:
            with torch.no_grad():
                for buffer, value in kept:
                    buffer.copy_(value)


class _Whole(nn.Module):
    """The network without its hooks, and with a forward that may be replaced."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.logits: tuple[Tensor, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network.forward(x).clone()  # no view, so that it can be detached
        self.logits = (logits,)
        return logits


def record(whole: _Whole, x: Tensor) -> Callable[[Tensor], Tensor]:
    """PyTorch's recording of a module's forward and backward for inputs like x."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*AccumulateGrad")  # of the recording itself, which adds up no gradients
        torch.cuda.make_graphed_callables(whole, (x,), allow_unused_input=True)  # replaces its forward
    for logits in whole.logits:
        # They keep the recorded step's autograd graph, and with it the parameters' places in the recording's stream:
        # all later gradients would be added there, with a wait for each.
        logits.detach_()
    return whole.__call__


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def _form(x: Tensor) -> tuple[Any, ...]:
    kind = x.device.type
    autocast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    return x.shape, x.stride(), x.dtype, x.device, autocast


def _identity(place: tuple[Tensor, int]) -> tuple[int, int]:
    return id(place[0]), place[1]


def _autocast(x: Tensor) -> torch.autocast:
    """The mixed precision that is on, without the copies of weights that it keeps: a recording must make them."""
    kind = x.device.type
    return torch.autocast(
        kind, dtype=torch.get_autocast_dtype(kind), enabled=torch.is_autocast_enabled(kind), cache_enabled=False
    )


def _distance(first: list[Tensor], second: list[Tensor]) -> float:
    return _length([a - b for a, b in zip(first, second, strict=True)])


def _length(tensors: list[Tensor]) -> float:
    return sum(float(tensor.double().square().sum()) for tensor in tensors) ** 0.5
