"""The loss of surrogate module learning, against its formula written out with softmaxes."""

import pytest
import torch
from torch.nn import functional

from snnbench.errors import UserError
from snnbench.training.distillation import SurrogateModuleLearning
from snnbench.training.losses import MeanLogitCrossEntropy

B, K = 3, 4


def passes(n, T=2):
    """Logits [T, n B, K] that differ from timestep to timestep, and labels [B]."""
    torch.manual_seed(n)
    return torch.randn(T, n * B, K, dtype=torch.float64).mul(3).requires_grad_(), torch.tensor([2, 0, 3])


def divergence(target, other, temperature):
    p, q = (torch.exp(x / temperature) / torch.exp(x / temperature).sum(1, keepdim=True) for x in (target, other))
    return (p.detach() * (p.detach() / q).log()).sum() / B


def by_formula(logits, labels, *, lam, alpha, temperature):
    means = logits.sum(0) / len(logits)
    own, *others = (means[start : start + B] for start in range(0, len(means), B))
    wrong = [-(x[range(B), labels] - torch.exp(x).sum(1).log()).mean() for x in (own, *others)]
    apart = [divergence(own, x, temperature) + divergence(x, own, temperature) for x in others]
    n = len(others)
    right = (wrong[0] + alpha * sum(wrong[1:])) / (1 + n * alpha)
    return (1 - lam) * right + lam * sum(apart) / (2 * n)


@pytest.mark.parametrize("options", [(0.9, 0.5, 3.0), (0.0, 2.0, 1.0), (1.0, 0.0, 0.7)], ids=str)
@pytest.mark.parametrize("modules", [1, 2, 3])
def test_it_is_the_formula_with_its_gradients(modules, options):
    options = dict(zip(("lam", "alpha", "temperature"), options, strict=True))
    logits, labels = passes(1 + modules)
    found, expected = SurrogateModuleLearning(**options)(logits, labels), by_formula(logits, labels, **options)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(*(torch.autograd.grad(loss, logits) for loss in (found, expected)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_of_one_pass_it_is_the_cross_entropy():
    logits, labels = passes(1)
    assert SurrogateModuleLearning()(logits, labels) == MeanLogitCrossEntropy()(logits, labels)


@pytest.mark.parametrize("n", [1, 3])
def test_one_hot_soft_labels_equal_hard_labels(n):
    logits, labels = passes(n)
    loss, soft = SurrogateModuleLearning(), functional.one_hot(labels, K).double()
    torch.testing.assert_close(loss(logits, soft), loss(logits, labels))


def test_half_precision_logits_give_a_finite_float32_loss():
    logits = passes(3)[0].detach().bfloat16() * 100
    found = SurrogateModuleLearning()(logits, torch.tensor([0, 1, 2]))
    assert found.dtype == torch.float32
    assert found.isfinite()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lam": 1.5}, r"loss.lam=1.5: must be a number in \[0, 1\]"),
        ({"alpha": -0.1}, r"loss.alpha=-0.1"),
        ({"temperature": 0.0}, r"loss.temperature=0.0"),
        ({"temperature": "3"}, r"loss.temperature='3'"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(UserError, match=message):
        SurrogateModuleLearning(**options)
