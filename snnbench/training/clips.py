"""Several clips of one recording: what the recording is taken for."""

from __future__ import annotations

import torch
from torch import Tensor


def verdict(logits: Tensor, clips: int) -> Tensor:
    """How many of a recording's clips are taken for each class, and how many would be too few for any.

    As in the code of TA-SNN, more than half of the clips have to agree: the last entry, half of them and a quarter of a
    clip, is larger than that of every class where they do not.

    Args:
        logits: [T, B * clips, K], the clips of a recording one after the other; their time-mean decides.
        clips: of each recording.

    Returns:
        [1, B, K + 1].
    """
    classes = logits.shape[-1]
    taken = logits.detach().float().mean(0).argmax(1).view(-1, clips)
    votes = torch.nn.functional.one_hot(taken, classes).sum(1).float()
    enough = votes.new_full((len(votes), 1), clips / 2 + 0.25)
    return torch.cat([votes, enough], 1)[None]
