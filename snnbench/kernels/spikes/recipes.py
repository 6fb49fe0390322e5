"""Tensors that remember how they can be computed again, so that not they have to be kept but what they came from."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

_recipes = WeakIdKeyDictionary()
"""By tensor: the function, and the tensor's version when it was made. The tensor itself can be saved as any other."""


def remember(y: Tensor, compute: Callable[[], Tensor], *sources: Tensor | None) -> None:
    """Let y know `compute`, which makes its numbers again as long as no source is changed; for a backward only."""
    if not y.requires_grad or any(source is not None and source.is_inference() for source in sources):
        return
    made = [None if source is None else source._version for source in sources]

    def checked() -> Tensor:
        if made != [None if source is None else source._version for source in sources]:
            raise RuntimeError("a tensor was to be computed again, but the weight that it came from has changed since")
        return compute()

    _recipes[y] = (checked, y._version)


def again(y: Tensor) -> Callable[[], Tensor] | None:
    """A function that computes y once more, bit for bit, as it lay in memory; without gradients.

    None where y does not remember it (`convolution.convolve(keeps=True)`), or was changed since. The function holds
    what y came from, not y: of a convolution of spikes the weight, and an eighth of a byte for each input. It raises
    RuntimeError if the weight was changed.
    """
    compute, version = _recipes.get(y, (None, None))
    if compute is None or version != y._version:
        return None
    shape = y.shape
    return lambda: compute().view(shape)


def hand_on(y: Tensor, view: Tensor) -> Tensor:
    """`view`, of all of y in y's order, which remembers what y does."""
    if again(y) is not None:
        _recipes[view] = _recipes[y]
    return view
