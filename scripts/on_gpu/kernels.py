"""The kernels alone, by graph replay: what share of the bandwidth of a copy, and of a sum of two, each reaches."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import statistics
import sys
from typing import Any

import torch
from alone import TENSORS, kernel_steps
from baselines import Case, difference, fused_engines
from timing import between_events, captured, spread
from torch import Tensor

from on_gpu.record import Record
from snnbench.neurons import SpikingNeuron

NEURONS = ("LIF", "DALIF", "ARLIF", "PLIF", "CLIF", "GLIF", "KLIF")
CHANNELS, SIDE, FRAMES = 256, 32, 256
"""Of x [T, FRAMES / T, CHANNELS, SIDE, SIDE]: 268 MB in float32 at any T, several times what an L2 cache holds."""
ORDER = (
    *itertools.product((4, 16), ("float32", "float16")),
    *itertools.product((1, 8), ("float32", "float16")),
    (4, "bfloat16"),
    *itertools.product((32, 2), ("float32", "float16")),
    *itertools.product((16, 1, 8, 32, 2), ("bfloat16",)),
)
"""T and dtype, the most telling first."""
CHECKED = 8
"""The part of the samples, one in so many, on which spikes and gradients are compared."""
REPLAYED = 4
"""Calls in a graph."""
COEFFICIENTS = 1e-2
"""How far a coefficient's gradient may lie from the reference's: a sum of millions of terms that nearly cancel."""


def run(record: Record) -> None:
    cases = {}
    for (steps, dtype), neuron in itertools.product(ORDER, NEURONS):
        cases[f"{neuron} T={steps} {dtype}"] = functools.partial(row_of, case_of(neuron, steps, dtype))
    record.measure(cases)


def case_of(neuron: str, steps: int, dtype: str, device: str = "cuda") -> Case:
    shape = (FRAMES // steps, CHANNELS, SIDE, SIDE)
    return Case(neuron, steps, getattr(torch, dtype), "conv", shape, device)


def row_of(case: Case) -> dict[str, Any]:
    """Checked, then timed; what is wrong gets no time."""
    torch.cuda.empty_cache()
    wrong = check(dataclasses.replace(case, shape=(max(1, case.shape[0] // CHECKED), *case.shape[1:])))
    if wrong:
        return {"wrong": wrong}
    steps = kernel_steps(case)
    for step in steps.values():
        step()
    times = between_events({name: captured(step, REPLAYED) for name, step in steps.items()}, 0.1)
    seconds = {name: statistics.median(found) / REPLAYED for name, found in times.items()}
    size = case.steps * torch.Size(case.shape).numel() * case.dtype.itemsize
    return {
        "milliseconds": {name: value * 1e3 for name, value in seconds.items()},
        "spread": {name: spread(found) for name, found in times.items()},
        "tb_per_second": {name: TENSORS[name] * size / value / 1e12 for name, value in seconds.items()},
        "forward_share": seconds["copy"] / seconds["forward"],
        "backward_share": seconds["read2write1"] / seconds["backward"],
    }


def check(case: Case) -> str | None:
    """What is wrong with the fused spikes and gradients, those of the coefficients, too; None if nothing is."""
    x, g = case.input(), case.noise(1).to(case.dtype)
    (s, gx, ours), (s_, gx_, theirs) = (
        outcome(case.build(engine), x, g) for engine in (fused_engines(case.device)[0], "reference")
    )
    lengths = {name: float(exact.norm()) for name, exact in theirs.items()}
    apart = {name: float((ours[name] - exact).norm()) for name, exact in theirs.items()}
    far = [
        f"the gradient of {name} is off by {off:.1e} of {lengths[name]:.1e}"
        for name, off in apart.items()
        if not off <= COEFFICIENTS * lengths[name]
    ]
    return difference((s, gx), (s_, gx_)) or "; ".join(far) or None


def outcome(layer: SpikingNeuron, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Spikes, and the gradients of x and of each parameter."""
    leaf = x.detach().requires_grad_()
    parameters = {name: value for name, value in layer.named_parameters() if value.requires_grad}
    s = layer(leaf)
    gx, *gradients = torch.autograd.grad(s, [leaf, *parameters.values()], g, allow_unused=True, materialize_grads=True)
    return s.detach(), gx, dict(zip(parameters, gradients, strict=True))


def launch(steps: str, dtype: str, *neurons: str) -> None:
    """A forward and a backward of each, for whoever counts what the hardware does."""
    for neuron in neurons:
        kernels = kernel_steps(case_of(neuron, int(steps), dtype))
        kernels["forward"]()
        kernels["backward"]()
    torch.cuda.synchronize()


if __name__ == "__main__":
    launch(*sys.argv[1:])
