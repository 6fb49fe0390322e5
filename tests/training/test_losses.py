import math

import pytest
import torch

from snnbench.errors import UserError
from snnbench.training.losses import TET, Consistent, MeanLogitBinaryCrossEntropy, MeanLogitCrossEntropy, RateMSE

LOGITS = torch.tensor([[[0.0, 0.0], [2.0, 0.0]], [[4.0, 0.0], [0.0, 0.0]]])  # [T=2, B=2, K=2]
LABELS = torch.tensor([0, 1])


def ce(a: float, b: float) -> float:
    """-log softmax of the first of two logits."""
    return math.log(1 + math.exp(b - a))


def test_mean_logit_cross_entropy_by_hand():
    # time means: sample 0 is (2, 0) with label 0; sample 1 is (1, 0) with label 1
    expected = (ce(2, 0) + ce(0, 1)) / 2
    assert MeanLogitCrossEntropy()(LOGITS, LABELS).item() == pytest.approx(expected, rel=1e-6)


def test_label_smoothing_by_hand():
    expected = ((0.95 * ce(2, 0) + 0.05 * ce(0, 2)) + (0.95 * ce(0, 1) + 0.05 * ce(1, 0))) / 2
    assert MeanLogitCrossEntropy(label_smoothing=0.1)(LOGITS, LABELS).item() == pytest.approx(expected, rel=1e-6)


def test_tet_constant_target_by_hand():
    cross = (ce(0, 0) + ce(0, 2) + ce(4, 0) + ce(0, 0)) / 4
    mse = (1 + 1 + 1 + 1 + 9 + 1 + 1 + 1) / 8  # every logit against 1
    assert TET(lam=0.3, target=1.0)(LOGITS, LABELS).item() == pytest.approx(0.7 * cross + 0.3 * mse, rel=1e-6)


def test_tet_one_hot_target_by_hand():
    cross = (ce(0, 0) + ce(0, 2) + ce(4, 0) + ce(0, 0)) / 4
    mse = (1 + 0 + 4 + 1 + 9 + 0 + 0 + 1) / 8  # against (1, 0), (0, 1), (1, 0), (0, 1)
    assert TET(lam=0.2, target="one_hot")(LOGITS, LABELS).item() == pytest.approx(0.8 * cross + 0.2 * mse, rel=1e-6)


def test_rate_mse_by_hand():
    # time means (2, 0) and (1, 0) against (1, 0) and (0, 1)
    assert RateMSE()(LOGITS, LABELS).item() == pytest.approx((1 + 0 + 1 + 1) / 4)


def test_two_passes_are_pulled_together_by_hand():
    second = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 2.0]]])  # time means (1, 0) and (0, 1)
    each = (ce(2, 0) + ce(0, 1)) / 2, (ce(1, 0) + ce(1, 0)) / 2
    apart = 0.0
    for a, b in ((2, 1), (1, -1)):  # how far the first logit is above the second: of one pass and of the other
        for s, t in ((a, b), (b, a)):
            p, q = [1 / (1 + math.exp(-s)), 1 / (1 + math.exp(s))], [1 / (1 + math.exp(-t)), 1 / (1 + math.exp(t))]
            apart += sum(x * math.log(x / y) for x, y in zip(p, q, strict=True)) / 4  # of 2 samples and 2 classes
    loss = Consistent(MeanLogitCrossEntropy(), weight=0.6)
    found = loss(torch.cat([LOGITS, second], 1), LABELS)
    assert found.item() == pytest.approx(sum(each) / 2 + 0.6 * apart / 2, rel=1e-6)
    assert loss(LOGITS, LABELS) == MeanLogitCrossEntropy()(LOGITS, LABELS), "of one pass nothing is apart"


@pytest.mark.parametrize(
    "loss", [MeanLogitCrossEntropy(), MeanLogitBinaryCrossEntropy(), TET(), TET(target="one_hot"), RateMSE()]
)
def test_one_hot_soft_labels_equal_hard_labels(loss):
    logits = torch.randn(3, 5, 7)
    labels = torch.arange(5)
    soft = torch.nn.functional.one_hot(labels, 7).float()
    torch.testing.assert_close(loss(logits, soft), loss(logits, labels))


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("loss", [MeanLogitCrossEntropy(), MeanLogitBinaryCrossEntropy(0.1), TET(), RateMSE()])
def test_of_several_passes_it_is_the_mean(loss, soft):
    labels = torch.rand(5, 7).softmax(1) if soft else torch.arange(5)
    passes = [torch.randn(3, 5, 7, dtype=torch.float64) for _ in range(3)]
    each = torch.stack([loss(logits, labels) for logits in passes])
    torch.testing.assert_close(loss(torch.cat(passes, 1), labels), each.mean())


@pytest.mark.parametrize("loss", [MeanLogitCrossEntropy(), MeanLogitBinaryCrossEntropy(0.1), TET(), RateMSE()])
def test_half_precision_logits_give_a_float32_loss(loss):
    logits = torch.randn(2, 4, 3, dtype=torch.bfloat16, requires_grad=True)
    value = loss(logits, torch.tensor([0, 1, 2, 0]))
    value.backward()
    assert value.dtype == torch.float32
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_binary_cross_entropy_is_timms(smoothing):
    timm_loss = pytest.importorskip("timm.loss")
    logits, labels = torch.randn(3, 5, 7), torch.arange(5)
    loss, theirs = MeanLogitBinaryCrossEntropy(smoothing), timm_loss.BinaryCrossEntropy(smoothing)
    torch.testing.assert_close(loss(logits, labels), theirs(logits.mean(0), labels))
    soft = torch.rand(5, 7)
    torch.testing.assert_close(loss(logits, soft), theirs(logits.mean(0), soft))


@pytest.mark.parametrize(
    ("build", "key"),
    [
        (lambda: TET(lam=1.5), "loss.lam=1.5"),
        (lambda: TET(target="onehot"), "loss.target='onehot'"),
        (lambda: TET(lam=math.nan), "loss.lam=nan"),
        (lambda: TET(target=math.inf), "loss.target=inf"),
        (lambda: TET(target=None), "loss.target=null: must be a finite number, or one_hot"),
        (lambda: TET(label_smoothing=-0.1), "loss.label_smoothing=-0.1"),
        (lambda: MeanLogitCrossEntropy(label_smoothing=1.0), "loss.label_smoothing=1.0"),
        (lambda: MeanLogitBinaryCrossEntropy(label_smoothing="0.1"), "loss.label_smoothing='0.1'"),
        (lambda: Consistent(RateMSE(), weight=-1), "loss.weight=-1"),
    ],
)
def test_bad_arguments_are_named(build, key):
    with pytest.raises(UserError, match=key):
        build()


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(
    "loss", [MeanLogitCrossEntropy(), MeanLogitBinaryCrossEntropy(), TET(), TET(target="one_hot"), RateMSE()], ids=repr
)
def test_float64_logits_give_a_float64_loss_and_half_ones_a_float32_loss(loss, soft):
    labels = torch.tensor([[0.25, 0.75], [0.5, 0.5]]) if soft else LABELS
    logits = LOGITS.double().requires_grad_()
    value = loss(logits, labels)
    assert value.dtype == torch.float64
    value.backward()
    a, b = logits.detach().clone(), logits.detach().clone()
    a[1, 0, 0] += 1e-5
    b[1, 0, 0] -= 1e-5
    assert logits.grad[1, 0, 0].item() == pytest.approx((loss(a, labels) - loss(b, labels)).item() / 2e-5, rel=1e-8)
    assert loss(LOGITS.half(), labels).dtype == torch.float32
