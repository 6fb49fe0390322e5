"""Which classes the test samples were taken for: what is counted, and what stands in the file."""

import csv

import pytest
import torch

from snnbench.runs.confusion import read_confusion, write_confusion
from snnbench.training.confusion import Confusion
from tests.conftest import TINY


def logits_for(*guesses, classes=3):
    """[2, B, classes] whose mean over time says `guesses`, and whose first step says class 0."""
    last = torch.nn.functional.one_hot(torch.tensor(guesses), classes).float() * 4
    first = torch.nn.functional.one_hot(torch.zeros(len(guesses), dtype=torch.int64), classes).float()
    return torch.stack([first, last])


def test_it_counts_by_the_mean_over_time_between_start_and_stop_alone():
    confusion = Confusion()
    confusion.update(logits_for(1), torch.tensor([1]))
    assert confusion.counts is None
    confusion.start()
    confusion.update(logits_for(1, 2, 2), torch.tensor([1, 2, 1]))
    confusion.update(logits_for(2), torch.eye(3)[[1]])  # labels may be shares of classes
    confusion.stop()
    confusion.update(logits_for(0), torch.tensor([0]))
    assert confusion.counts.tolist() == [[0, 0, 0], [0, 1, 2], [0, 0, 1]]
    confusion.sum_over_devices(lambda counts: 2 * counts)
    assert confusion.counts.sum() == 8
    confusion.start()
    assert confusion.counts is None


def test_a_run_leaves_what_its_accuracy_says(command):
    done = command("train", *TINY, "threads=1")
    assert done.code == 0, done.err
    cells = read_confusion((done.folder / "confusion.csv").read_bytes())
    right, all_of_them = sum(n for c, taken, n in cells if c == taken), sum(n for *_, n in cells)
    with (done.folder / "metrics.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    assert 100 * right / all_of_them == pytest.approx(float(last["test/acc"]))
    before = (done.folder / "confusion.csv").read_text()
    (done.folder / "confusion.csv").unlink()
    assert command("eval", f"run={done.folder}").code == 0
    assert (done.folder / "confusion.csv").read_text() == before


def test_what_is_written_is_read_and_all_else_is_refused(tmp_path):
    write_confusion(tmp_path, [[5, 0], [2, 3]])
    text = (tmp_path / "confusion.csv").read_bytes()
    assert read_confusion(text) == [(0, 0, 5), (1, 0, 2), (1, 1, 3)]
    for damaged in (b"", b"class,predicted\n", text[:-1], text + b"1,1,3\n", text + b"-1,0,1\n", text + b"0,1,0\n"):
        with pytest.raises(ValueError, match=r".*"):
            read_confusion(damaged)
