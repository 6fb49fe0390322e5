"""What shows that contestants compute the same: equal losses while they learn in float64, and gradients near to its."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from whole_step.cases import without_chance
from whole_step.contestants import Contestant, stepper

LEARNING_RATE = 0.05
EQUAL = 1e-8
"""How far apart, relative to the loss, sums made in another order in float64 can bring two runs of a few steps."""
FACTOR, LEAST = 20.0, 1e-5
"""How many times farther from float64 than the plain step a contestant's gradients may be, or this far at least."""


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
    exact = contestants["plain"].network(copy.deepcopy(sure).double())
    assert exact is not None
    stepper(exact, x.double(), labels)()
    away = {}
    for name, contestant in contestants.items():
        own = contestant.network(sure) if contestant.same else None
        if own is not None:
            stepper(own, contestant.input(x), labels)()
            away[name] = distance(own, exact)
    most = FACTOR * away["plain"] + LEAST
    return away, {name: f"gradients {d:.1e} from float64's" for name, d in away.items() if not d <= most}


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
