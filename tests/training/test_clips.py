"""A recording of several clips is right if more than half of them are."""

import torch
from torch import nn

from snnbench.training.clips import verdict
from snnbench.training.losses import MeanLogitCrossEntropy
from snnbench.training.module import Meter, SpikingClassifier


def logits_of(classes, K=3):
    """Two timesteps that disagree, whose mean is largest at the class."""
    mean = torch.eye(K)[torch.tensor(classes)]
    swing = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0)) * 5
    return torch.stack([mean + swing, mean - swing])


def test_more_than_half_of_the_clips_have_to_agree():
    votes = verdict(logits_of([0, 0, 0, 1, 2, 2, 1, 1, 0, 1, 2, 2]), 4)
    assert votes[0, :, :3].tolist() == [[3, 1, 0], [0, 2, 2], [1, 1, 2]]
    assert votes[0].argmax(1).tolist() == [0, 3, 3]  # 3: none
    assert verdict(logits_of([1, 1, 0]), 3)[0].argmax(1).tolist() == [1]


class Given(nn.Module):
    """A network that gives what it was given."""

    def forward(self, x):
        return x


def test_an_evaluation_counts_recordings_and_its_loss_is_of_clips(monkeypatch):
    module = SpikingClassifier(Given(), MeanLogitCrossEntropy(), None, None, seed=0)
    monkeypatch.setattr(module, "_count", lambda name: module.confusion.start())
    logits, labels = logits_of([0, 0, 1, 1, 1, 2]), torch.tensor([0, 2])
    module.validation_step((logits, labels), 0)
    meter = module.meters["test"]
    assert isinstance(meter, Meter)
    found = meter.collect()
    assert found["acc"] == 50.0
    mean = logits.mean(0)
    each = mean.logsumexp(1) - mean[torch.arange(6), [0, 0, 0, 2, 2, 2]]
    torch.testing.assert_close(torch.tensor(found["loss"]), each.mean())
    assert module.confusion.counts.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
