"""A UserError is one line wherever it was raised."""

import pickle

import pytest
from torch.utils.data import DataLoader, Dataset

from snnbench.errors import UserError
from snnbench.training.checkpoint import CheckpointError


class Damaged(Dataset):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        try:
            raise OSError("truncated")
        except OSError as error:
            raise CheckpointError("a.png: damaged: it ends early.\nDelete it.") from error


def test_from_a_worker_of_a_loader_it_is_what_was_raised_there():
    with pytest.raises(CheckpointError) as caught:
        next(iter(DataLoader(Damaged(), num_workers=1)))
    assert str(caught.value) == "a.png: damaged: it ends early.\nDelete it."


def test_it_survives_pickling_and_leaves_other_messages_alone():
    for message in ("T=0: must be at least 1", "Caught UserError in the net", ""):
        assert str(pickle.loads(pickle.dumps(UserError(message)))) == message
