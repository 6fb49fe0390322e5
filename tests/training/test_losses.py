import math

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from snnbench.errors import UserError
from snnbench.neurons import LTSNN
from snnbench.neurons.base import SpikingNeuron, registry
from snnbench.runs.recipe import BY_EPOCHS
from snnbench.training import losses
from snnbench.training.losses import (
    TET,
    TKS,
    TMC,
    Consistent,
    MeanLogitBinaryCrossEntropy,
    MeanLogitCrossEntropy,
    RateMSE,
)
from snnbench.training.module import SpikingClassifier
from snnbench.training.optim import ConstantSchedule

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


def share(own: float, other: float) -> float:
    """The softmax of the first of two logits."""
    return 1 / (1 + math.exp(other - own))


def test_tmc_by_hand():
    cross = (ce(0, 0) + ce(0, 2) + ce(4, 0) + ce(0, 0)) / 4
    first = (share(0, 0) + share(0, 2)) / (share(0, 0) + share(2, 0))  # after one step
    both = (share(2, 0) + share(0, 1)) / (share(0, 2) + share(1, 0))  # of the mean of two, to the power of 1/2
    assert TMC()(LOGITS, LABELS).item() == pytest.approx(cross + (first + both**0.5) / 2, rel=1e-6)


def test_tmc_gives_each_timestep_the_gradient_of_its_own_term_alone():
    logits = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 4, 2, 2])
    TMC()(logits, labels).backward()
    found, logits.grad = logits.grad, None
    terms = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.repeat(3))
    for t in range(3):
        mean = torch.cat([logits[:t].detach(), logits[t : t + 1]]).mean(0).softmax(-1)
        own = mean[range(4), labels].mean()
        terms = terms + (own / (1 - own)) ** ((3 - t) / 3) / 3
    terms.backward()
    torch.testing.assert_close(found, logits.grad)


def tks(progress: float) -> TKS:
    loss = TKS(lam=0.7, temperature=3.0)
    loss.set_progress(progress)
    return loss


def test_tks_by_hand():
    # right by themselves: of sample 0 both timesteps (a tie counts for the first class), of sample 1 none; so the
    # shared logits are (4, 0) and (0, 0), over the temperature (4/3, 0) and (0, 0)
    a, together = share(4 / 3, 0), (ce(2, 0) + ce(0, 1)) / 2
    sample0 = a * ce(0, 0) + (1 - a) * ce(0, 0) + a * ce(4, 0) + (1 - a) * ce(0, 4)
    sample1 = (ce(2, 0) + ce(0, 2)) / 2 + ce(0, 0)
    apart = 9 * (sample0 + sample1) / 4
    assert tks(0.0)(LOGITS, LABELS).item() == pytest.approx(together, rel=1e-6)
    assert tks(0.5)(LOGITS, LABELS).item() == pytest.approx(0.65 * together + 0.35 * apart, rel=1e-6)
    assert tks(1.0).eval()(LOGITS, LABELS).item() == pytest.approx(together, rel=1e-6)


def test_training_tells_the_loss_how_far_it_is():
    seen = []

    class Noted(TKS):
        def forward(self, logits, labels):
            seen.append(self.progress)
            return super().forward(logits, labels)

    network = nn.Sequential(nn.Linear(2, 2), nn.Unflatten(0, (1, -1)))
    module = SpikingClassifier(
        network,
        Noted(lam=1.0, temperature=1.0),
        lambda network: torch.optim.SGD(network.parameters(), lr=0.1),
        ConstantSchedule(),
        seed=0,
    )
    silent = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False)
    trainer = lightning.Trainer(max_epochs=3, accelerator="cpu", limit_val_batches=0, **silent)
    trainer.fit(module, DataLoader(TensorDataset(torch.randn(4, 2), LABELS.repeat(2)), batch_size=4))
    assert seen == [0.0, 0.5, 1.0]


ALL = [
    *(MeanLogitCrossEntropy(), MeanLogitBinaryCrossEntropy(), TET(), TET(target="one_hot"), RateMSE(), TMC()),
    tks(0.5),
]


@pytest.mark.parametrize("loss", ALL)
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


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("loss", ALL)
def test_several_passes_are_more_samples(loss, soft):
    labels = torch.rand(5, 7).softmax(1) if soft else torch.arange(5)
    logits = torch.randn(3, 10, 7, dtype=torch.float64)
    torch.testing.assert_close(loss(logits, labels), loss(logits, torch.cat([labels, labels])))


def test_a_loss_on_both_passes_tells_its_own_loss_what_it_is_told():
    inner, network = tks(0.0), nn.Sequential(LTSNN(v_th=3.0))
    Consistent(inner).set_progress(0.25)
    assert inner.progress == 0.25
    told, expected = TET(lam=1.0, target="threshold"), TET(lam=1.0, target=3.0)
    Consistent(told).follow(network)
    assert told(LOGITS, LABELS) == expected(LOGITS, LABELS) != TET(lam=1.0)(LOGITS, LABELS)
    Consistent(RateMSE()).follow(network)


def test_a_run_of_whatever_changes_with_training_is_no_beginning_of_a_longer_one():
    kinds = [kind for kind in vars(losses).values() if isinstance(kind, type) and hasattr(kind, "set_progress")]
    kinds += [kind for kind in registry.own().values() if kind.set_progress is not SpikingNeuron.set_progress]
    changing = {kind.__name__ for kind in kinds}
    assert changing - {"Scheduled", "Consistent"} == BY_EPOCHS - {"SWA"}  # Consistent by the loss that it has


@pytest.mark.parametrize("loss", [*ALL, MeanLogitBinaryCrossEntropy(0.1)])
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
        (lambda: TET(target=None), "loss.target=null: must be a finite number, one_hot, or threshold"),
        (lambda: TET(label_smoothing=-0.1), "loss.label_smoothing=-0.1"),
        (lambda: TKS(lam=1.1, temperature=1.0), "loss.lam=1.1"),
        (lambda: TKS(lam=0.5, temperature=0.0), "loss.temperature=0.0"),
        (lambda: MeanLogitCrossEntropy(label_smoothing=1.0), "loss.label_smoothing=1.0"),
        (lambda: MeanLogitBinaryCrossEntropy(label_smoothing="0.1"), "loss.label_smoothing='0.1'"),
        (lambda: Consistent(RateMSE(), weight=-1), "loss.weight=-1"),
    ],
)
def test_bad_arguments_are_named(build, key):
    with pytest.raises(UserError, match=key):
        build()


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("loss", ALL, ids=repr)
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
