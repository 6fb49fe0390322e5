"""What shows that contestants compute the same: equal losses while they learn in float64, and gradients near to its."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from timing import failure
from torch import Tensor, nn

from whole_step.cases import without_chance
from whole_step.contestants import Contestant, stepper

LEARNING_RATE = 0.05
EQUAL = 1e-8
"""How far apart, relative to the loss, sums made in another order in float64 can bring two runs of a few steps."""
FACTOR, LEAST = 20.0, 1e-5
"""How many times farther from float64 than the plain step a contestant's gradients may be, or this far at least."""

MIXED = 0.25
"""How far the length of gradients under autocast may be from the plain loop's; layouts make 0.05 of it."""


def unequal(
    net: nn.Module, x: Tensor, labels: Tensor, contestants: dict[str, Contestant], steps: int
) -> dict[str, str]:
    """Which of those that claim to be the same are not, and why.

    All learn from the same weights on the same batch for `steps` steps in float64. A spike that falls otherwise, a
    gradient of another formula, a state that was left over from the step before: each shows in the losses.
    """
    exact = without_chance(copy.deepcopy(net)).double()
    losses: dict[str, list[float]] = {}
    for name, contestant in contestants.items():
        own = contestant.network(exact) if contestant.same else None
        if own is not None:
            step = stepper(own, contestant.input(x.double()), labels, LEARNING_RATE)
            losses[name] = [float(step()) for _ in range(steps)]
    first, failures = next(iter(losses.values())), {}
    for name, found in losses.items():
        apart = [abs(a - b) / max(abs(b), 1e-3) for a, b in zip(found, first, strict=True)]
        wrong = next((n for n, d in enumerate(apart) if not d <= EQUAL), None)
        if wrong is not None:
            failures[name] = f"loss {found[wrong]:.9g} in step {wrong + 1}, not {first[wrong]:.9g}"
    return failures


def far(
    net: nn.Module, x: Tensor, labels: Tensor, contestants: dict[str, Contestant]
) -> tuple[dict[str, float], dict[str, str]]:
    """How far the float32 gradients of those that claim to be the same lie from float64's, and which lie too far.

    A spike within rounding of its threshold may flip, and one flip moves others, so they are held against the plain
    loop's own distance.
    """
    sure = without_chance(copy.deepcopy(net))
    nets = networks(sure, {name: each for name, each in contestants.items() if each.same})
    return far_of(nets, sure, x, labels, contestants)


def networks(net: nn.Module, contestants: dict[str, Contestant]) -> dict[str, nn.Module]:
    """The network as each of them runs it, of those that can."""
    found = {name: contestant.network(net) for name, contestant in contestants.items()}
    return {name: own for name, own in found.items() if own is not None}


def far_of(
    nets: dict[str, nn.Module], net: nn.Module, x: Tensor, labels: Tensor, contestants: dict[str, Contestant]
) -> tuple[dict[str, float], dict[str, str]]:
    """`far`, for networks that are there already and drop nothing; one whose step fails is too far, too."""
    exact = contestants["plain"].network(copy.deepcopy(net).double())
    assert exact is not None
    stepper(exact, x.double(), labels)()
    away, failures = _each(nets, x, labels, contestants, lambda own: distance(own, exact))
    most = FACTOR * away["plain"] + LEAST
    return away, failures | {name: f"gradients {d:.1e} from float64's" for name, d in away.items() if not d <= most}


def other(
    nets: dict[str, nn.Module], x: Tensor, labels: Tensor, contestants: dict[str, Contestant], mixed: torch.dtype
) -> tuple[dict[str, float], dict[str, str]]:
    """How long each one's gradients are under autocast, over the plain loop's; and whose are of another length.

    A layer's rounding in half precision flips spikes, and these others, so that no more than this can be compared of a
    whole step. It shows another threshold, slope or reset.
    """
    lengths, failures = _each(nets, x, labels, contestants, length, mixed)
    found = {name: value / lengths["plain"] for name, value in lengths.items()}
    wrong = {name: f"gradients {r:.2f} times as long" for name, r in found.items() if not abs(r - 1) <= MIXED}
    return found, failures | wrong


def _each(
    nets: dict[str, nn.Module],
    x: Tensor,
    labels: Tensor,
    contestants: dict[str, Contestant],
    look: Callable[[nn.Module], float],
    mixed: torch.dtype | None = None,
) -> tuple[dict[str, float], dict[str, str]]:
    """What is seen of each network after a step, and whose step fails, and why."""
    found, failures = {}, {}
    for name, own in nets.items():
        try:
            stepper(own, contestants[name].input(x), labels, mixed=mixed)()
            found[name] = look(own)
        except Exception as error:  # whatever a library raises
            if name == "plain":
                raise
            failures[name] = failure(error)
    return found, failures


def length(net: nn.Module) -> float:
    """Of all gradients together."""
    return sum(float(p.grad.double().square().sum()) for p in net.parameters() if p.grad is not None) ** 0.5


def distance(net: nn.Module, exact: nn.Module) -> float:
    """Of all gradients from the exact ones, relative to their length; a parameter without one counts as 0."""
    pairs = [(p.grad, q.grad) for p, q in zip(net.parameters(), exact.parameters(), strict=True) if q.grad is not None]
    off = sum(float(((0 if p is None else p.double()) - q).square().sum()) for p, q in pairs)
    return (off / sum(float(q.square().sum()) for _, q in pairs)) ** 0.5


def released(device: str) -> None:
    """Forget what torch.compile made, and what the device keeps."""
    torch.compiler.reset()
    if device == "cuda":
        torch.cuda.empty_cache()
