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

from snnbench.errors import UserError
from snnbench.training.sameness import Outcome, host_state, same

DEVICE = "cuda"


class Replay:
    """Stands for a network in training: forward and backward of full batches are replayed, all else is its own.

    A recording repeats kernels with the numbers that they were launched with, whatever has become of the neuron's
    attributes since. So on the first batch of each epoch it is compared with the network itself: outputs, gradients
    and buffers. Where they differ, the step is recorded anew; where it then still differs, or has what no recording
    repeats, the network runs as it does without, and a line says so. Between two epochs' first batches, it is recorded
    anew where a tensor moved or is learned or no longer learned; other changes are not seen.

    A batch's outputs and gradients are overwritten by the next one.

    Raises:
        UserError: a step cannot be recorded; after a recording that failed, a GPU's state cannot be relied on.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._recorded: Callable[[Tensor], Tensor] | None = None
        self._form: Any = None
        self._places: list[tuple[Tensor, int, bool]] = []
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
        if self._due or not all(_stays(*place) for place in self._places):
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
        self.obstacle = self._unrepeatable()
        if not self.obstacle:
            places = [(tensor, *_place(tensor)) for tensor in _tensors(self._network)]
            known = self._form == _form(x) and [id(tensor) for tensor, *_ in places] == [
                id(t) for t, *_ in self._places
            ]
            if known and all(_stays(*place) for place in self._places) and self._recorded and not self._differs(x):
                return
            self._form, self._places = _form(x), places
            self._record(x)
            self.obstacle = self._differs(x)
        logger = logging.getLogger("snnbench")
        if self.obstacle:
            self._recorded, self._places = None, []
            logger.warning(
                "cuda_graph: %s; the step runs as it does without. cuda_graph=false does not try.", self.obstacle
            )
        elif not self._told:
            self._told = True
            logger.info("cuda_graph: steps are replayed, as compared with the network itself")

    def _unrepeatable(self) -> str:
        """What of the network would have no part in a replay."""
        hooked = [name for name, module in self._network.named_modules() if name and _has_hooks(module)]
        if hooked:
            return f"{hooked[0]} has hooks, which a replay would leave out"
        return "the network has another forward than its class" if "forward" in vars(self._network) else ""

    def _record(self, x: Tensor) -> None:
        self._recorded = None
        gc.collect()  # an older graph that is freed within a capture ends it
        gc.disable()
        try:
            with self._as_before(x), _autocast(x, cached=False):
                self._recorded = record(_Whole(self._network), x.clone())
        except (RuntimeError, AssertionError) as error:  # of a capture, whatever does not belong into one
            why = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            raise UserError(
                f"cuda_graph=true: the step of this network cannot be recorded ({why}). Take cuda_graph=false, also to "
                "go on with a run."
            ) from error
        finally:
            gc.enable()

    def _differs(self, x: Tensor) -> str:
        """In what a replay differs from the network; "" where it does what that does."""
        assert self._recorded is not None
        before, outcomes = host_state(x.device), []
        for run in (self._network.forward, self._network.forward, self._recorded):
            itself = run is not self._recorded
            with self._as_before(x), _autocast(x, cached=itself):
                outcomes.append(Outcome.of(run, x, self._network))
                if itself and host_state(x.device) != before:
                    return "the network draws random numbers on the host, which a replay would repeat"
        own, again, replayed = outcomes
        if replayed.shared:
            return f"the gradients of {replayed.shared} are one tensor, which would be scaled twice"
        name = same(own, again, replayed)
        return f"a replay differs from the network itself in {name}" if name else ""

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


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def _place(tensor: Tensor) -> tuple[int, bool]:
    return tensor.data_ptr(), tensor.requires_grad


def _stays(tensor: Tensor, place: int, learned: bool) -> bool:
    return tensor.data_ptr() == place and tensor.requires_grad == learned


def _has_hooks(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def _form(x: Tensor) -> tuple[Any, ...]:
    kind = x.device.type
    autocast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    return x.shape, x.stride(), x.dtype, x.device, autocast


@contextmanager
def _autocast(x: Tensor, cached: bool) -> Iterator[None]:
    """The mixed precision that is on; a recording must make the copies of weights that are cached otherwise."""
    kind = x.device.type
    dtype, enabled = torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
    torch.clear_autocast_cache()
    with torch.autocast(kind, dtype=dtype, enabled=enabled, cache_enabled=cached):
        yield
    torch.clear_autocast_cache()
