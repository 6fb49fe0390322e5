"""One way to turn (seed, step, ...) into the state of every random generator in use."""

from __future__ import annotations

import random

import numpy as np
import torch


def mix(*parts: int) -> int:
    """A 64-bit number from non-negative integers; any change of any part changes it beyond recognition."""
    words = np.random.SeedSequence(parts).generate_state(2, np.uint32)
    return int(words[0]) << 32 | int(words[1])


def seed_all(*parts: int) -> None:
    """Seed Python's, NumPy's and PyTorch's global generators (every device) from `parts`."""
    seed = mix(*parts)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
