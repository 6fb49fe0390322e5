"""Calls of odd sizes, for compute-sanitizer to look at: python -m on_gpu.odd [NEURON ...].

Nothing is compared: an access outside a tensor, or of memory that nobody wrote, is what is looked for. Each tensor has
an allocation of its own (PYTORCH_NO_CUDA_MEMORY_CACHING=1), so that what lies behind it is nobody's.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

import torch
from baselines import NEURONS
from torch import Tensor

from snnbench.registry import keywords

SHAPES = ((3, 5, 7, 3), (1, 4, 4, 4), (2, 1, 1, 1))
"""[B, C, H, W]: no multiple of a vector; a whole one; a single channel and fewer neurons than a vector has."""
STEPS = (1, 4, 7, 33)
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
DEFAULT = ("LIF", "DALIF", "GLIF", "ARLIF")


def main(names: list[str], device: str = "cuda") -> int:
    """How many calls there were."""
    calls = 0
    for name, dtype, steps, shape in itertools.product(names or DEFAULT, DTYPES, STEPS, SHAPES):
        cls = NEURONS[name]
        options: dict[str, Any] = {"T": steps} if "T" in keywords(cls) else {}
        layer = cls(channels=shape[1], engine=device, **options).to(device)
        x = torch.linspace(-1, 3, steps * torch.Size(shape).numel(), device=device).view(steps, *shape).to(dtype)
        for given in (x, misaligned(x), x[:1].expand(x.shape)):
            leaf = given.detach().requires_grad_()
            s = layer(leaf)
            torch.autograd.grad(s, [leaf, *(p for p in layer.parameters() if p.requires_grad)], x)
            calls += 1
    if device == "cuda":
        torch.cuda.synchronize()
    return calls


def misaligned(x: Tensor) -> Tensor:
    """The same values, from where no vector may be read."""
    memory = x.new_zeros(x.numel() + 1)
    return memory[1:].view(x.shape).copy_(x)


if __name__ == "__main__":
    print(f"{main(sys.argv[1:])} calls")
