"""Loss and accuracy of a pass: of its samples, however they were batched."""

import pytest
import torch

from snnbench.training.losses import MeanLogitCrossEntropy
from snnbench.training.module import Meter


def measured(logits, labels, sizes):
    meter, loss = Meter(), MeanLogitCrossEntropy()
    for part, of in zip(logits.split(sizes, 1), labels.split(sizes), strict=True):
        meter.update(loss(part, of), part, of)
    first = meter.collect()
    meter.update(loss(logits, labels), logits, labels)  # after a fresh start
    return first, meter.collect()


@pytest.mark.parametrize("sizes", [[100], [32, 32, 32, 4], [99, 1], [1] * 100, [7, 50, 43]])
def test_the_mean_is_of_samples_not_of_batches(sizes):
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 100, 5, dtype=torch.float64), torch.randint(5, (100,))
    logits[:, 90:] *= 30  # so that the last batch would pull a mean of batches away
    found, again = measured(logits, labels, sizes)
    mean = logits.mean(0)
    each = mean.logsumexp(1) - mean[torch.arange(100), labels]
    assert found["loss"] == pytest.approx(each.mean().item(), rel=1e-12)
    assert found["acc"] == 100 * (mean.float().argmax(1) == labels).sum().item() / 100
    assert again == pytest.approx(found)


def test_an_accuracy_has_no_noise_of_float32():
    logits = torch.eye(2)[torch.tensor([0] * 81 + [1] * 19)][None]
    found, _ = measured(logits, torch.zeros(100, dtype=torch.int64), [60, 40])
    assert found["acc"] == 81.0


def test_soft_labels_count_by_their_largest_class_and_a_loss_that_is_nan_stays_so():
    meter = Meter()
    meter.update(torch.tensor(2.0), torch.eye(3)[None], torch.tensor([[0.6, 0.4, 0], [0.6, 0.4, 0], [0, 0.1, 0.9]]))
    meter.update(torch.tensor(float("nan")), torch.eye(3)[None], torch.arange(3))
    found = meter.collect()
    assert found["acc"] == pytest.approx(100 * 5 / 6)
    assert found["loss"] != found["loss"]


def test_of_several_passes_the_accuracy_is_the_first_ones():
    logits = torch.eye(2)[torch.tensor([0, 0, 1, 0, 1, 0])][None]  # of two samples, whose labels are 0 and 1
    meter = Meter()
    meter.update(torch.tensor(1.5), logits, torch.tensor([0, 1]))
    meter.update(torch.tensor(0.5), logits[:, :2], torch.tensor([0, 0]))  # as many samples in one pass
    assert meter.collect() == {"loss": 1.0, "acc": 75.0}
