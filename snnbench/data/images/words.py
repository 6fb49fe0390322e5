"""Random numbers as PyTorch draws them after it was seeded, for many seeds at once.

A generator for each sample is what makes a sample's augmentation depend on (seed, epoch, sample) alone, but to seed
one and to draw from it takes longer than to augment an image. PyTorch's generator on the CPU is the Mersenne Twister
(Matsumoto and Nishimura, 1998, MT19937) seeded by 32 bits; its first numbers need two thirds of the seeding's
recurrence and no twist of the whole state, and many seeds go through the recurrence side by side.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MOST = 227
"""How many words of a seed can be had so: those before the state feeds on itself."""

_SIZE, _MIDDLE = 624, 397
_BLOCK = 8192


def first_words(seeds: NDArray[np.uint64], count: int) -> NDArray[np.uint32]:
    """The first `count` words of the generator for each of `seeds` [N], at most MOST: [N, count]."""
    assert count <= MOST == _SIZE - _MIDDLE
    words = np.empty((len(seeds), count), np.uint32)
    for start in range(0, len(seeds), _BLOCK):  # the state of so many seeds stays in the cache
        words[start : start + _BLOCK] = _first_words(seeds[start : start + _BLOCK].astype(np.uint32), count)
    return words


def _first_words(seeds: NDArray[np.uint32], count: int) -> NDArray[np.uint32]:
    state = np.empty((_MIDDLE + count, len(seeds)), np.uint32)
    state[0], high = seeds, np.empty_like(seeds)
    for i in range(1, len(state)):
        np.right_shift(state[i - 1], 30, out=high)
        np.bitwise_xor(state[i - 1], high, out=high)
        np.multiply(high, np.uint32(1812433253), out=high)
        np.add(high, np.uint32(i), out=state[i])
    y = (state[:count] & np.uint32(0x80000000)) | (state[1 : count + 1] & np.uint32(0x7FFFFFFF))
    y = state[_MIDDLE:] ^ (y >> np.uint32(1)) ^ ((y & np.uint32(1)) * np.uint32(0x9908B0DF))
    y ^= y >> np.uint32(11)
    y ^= (y << np.uint32(7)) & np.uint32(0x9D2C5680)
    y ^= (y << np.uint32(15)) & np.uint32(0xEFC60000)
    y ^= y >> np.uint32(18)
    return y.T


class Draws:
    """Draws of a batch of samples, each from a generator of its own, in the order in which they are asked for.

    Args:
        words: of each sample, int64 [B, count].
    """

    def __init__(self, words: Tensor) -> None:
        self._words = words
        self._next = torch.zeros(len(words), 1, dtype=torch.int64)

    def below(self, stop: int | Tensor, of: Tensor | None = None) -> Tensor:
        """`torch.randint(stop, ())` of each sample, int64 [B]; of a mask's samples only, where there is one."""
        return self._take(of) % stop

    def uniform(self, of: Tensor | None = None) -> Tensor:
        """`torch.rand(())` of each sample, float32 [B]."""
        return (self._take(of) & 0xFFFFFF).float() * 2**-24

    def _take(self, of: Tensor | None) -> Tensor:
        """The next word of each sample; those outside of the mask `of` draw none, and what they get is of no use."""
        words = self._words.gather(1, self._next).squeeze(1)
        self._next += 1 if of is None else of[:, None]
        return words
