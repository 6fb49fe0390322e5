"""A UserError is one line wherever it was raised."""

import pickle
import sys

import pytest
from torch.utils.data import DataLoader, Dataset

from snnbench import cli
from snnbench.config import CONFIGS
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


def test_a_hydra_that_does_not_run_in_this_python_is_named(monkeypatch, capsys):
    """As hydra-core 1.3 in Python 3.14, whose argparse takes no help that is no text."""

    def refuse():
        raise ValueError("badly formed help string")

    monkeypatch.setattr(cli, "get_args_parser", refuse)
    monkeypatch.setattr(sys, "argv", ["train.py", "neuron=lif"])
    assert cli.main(lambda cfg: 0, CONFIGS, "train") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: hydra-core")
    assert said.count("\n") == 1
