"""Calls of odd sizes, for compute-sanitizer to look at: python -m on_gpu.odd SECONDS [NEURON ...].

Nothing is compared: an access outside a tensor, or of memory that nobody wrote, is what is looked for. Each tensor has
an allocation of its own (PYTORCH_NO_CUDA_MEMORY_CACHING=1), so that what lies behind it is nobody's.
"""

from __future__ import annotations

import itertools
import sys
import time
from typing import Any

import torch
from baselines import NEURONS
from torch import Tensor

from snnbench.registry import keywords

SHAPES = ((3, 5, 7, 3), (1, 4, 4, 4), (2, 1, 1, 1))
"""[B, C, H, W]: no multiple of a vector; a whole one; a single channel and fewer neurons than a vector has."""
STEPS = (4, 33, 7, 1)
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
DEFAULT = ("GLIF", "LIF", "ARLIF", "DALIF")


def main(seconds: float, names: tuple[str, ...] = DEFAULT, device: str = "cuda") -> tuple[int, int]:
    """How many calls there were in this time, and how many there are in all: the kinds of kernels in turn."""
    end = time.monotonic() + seconds
    kinds = list(itertools.product(STEPS, DTYPES, names))
    done = 0
    for steps, dtype, name in kinds:
        if time.monotonic() > end:
            break
        for shape in SHAPES:
            done += calls(name, steps, shape, dtype, device)
    if device == "cuda":
        torch.cuda.synchronize()
    return done, 3 * len(kinds) * len(SHAPES)


def calls(name: str, steps: int, shape: tuple[int, ...], dtype: torch.dtype, device: str) -> int:
    """Forward and backward of x, of x at an odd address, and of x constant over time."""
    cls = NEURONS[name]
    options: dict[str, Any] = {"T": steps} if "T" in keywords(cls) else {}
    layer = cls(channels=shape[1], engine=device, **options).to(device)
    x = torch.linspace(-1, 3, steps * torch.Size(shape).numel(), device=device).view(steps, *shape).to(dtype)
    inputs = (x, misaligned(x), x[:1].expand(x.shape))
    for given in inputs:
        leaf = given.detach().requires_grad_()
        s = layer(leaf)
        torch.autograd.grad(s, [leaf, *(p for p in layer.parameters() if p.requires_grad)], x)
    return len(inputs)


def misaligned(x: Tensor) -> Tensor:
    """The same values, from where no vector may be read."""
    memory = x.new_zeros(x.numel() + 1)
    return memory[1:].view(x.shape).copy_(x)


if __name__ == "__main__":
    print("{} of {} calls".format(*main(float(sys.argv[1]), tuple(sys.argv[2:]) or DEFAULT)))
