"""IM-Loss: what the last neurons of residual blocks read, beside the cross-entropy."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from snnbench.backbones import ResNet19, SEWResNet19
from snnbench.backbones.norms import BatchNorm
from snnbench.errors import UserError
from snnbench.neurons import LIF
from snnbench.training.information import InformationMaximization

T, LABELS = 3, torch.tensor([2, 0])
SIZES = {"T": T, "in_channels": 1, "num_classes": 4, "image_size": 8, "width": 4}
PARTS = {"neuron": partial(LIF, leak=0.25, v_th=0.5, surrogate="tanh"), "norm": BatchNorm}


class Watched(nn.Module):
    """A network and its loss, as a training holds them."""

    def __init__(self, **options):
        super().__init__()
        torch.manual_seed(0)
        self.network = ResNet19(**PARTS, **SIZES, variant="fsta", blocks=(1, 1, 1)).double()
        self.loss = InformationMaximization(**options)
        self.loss.follow(self.network)

    def forward(self, x):
        return self.loss(self.network(x), LABELS)


def images(seed=0):
    return torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_formula(network, x, lam):
    """From the blocks' own outputs and inputs: z is the last norm's output plus the shortcut's."""
    seen = {}
    for n, block in enumerate(network.stages):
        for part, module in (("norm", block.unit2.norm), ("shortcut", block.shortcut)):
            module.register_forward_hook(lambda m, i, out, key=(n, part): seen.__setitem__(key, out))
    logits = network(x)
    sums = [(seen[n, "norm"] + seen[n, "shortcut"]).mean() for n in range(2)]  # all blocks but the third, the last
    shift = sum((z - 0.5 / T) ** 2 for z in sums) / 2
    return functional.cross_entropy(logits.mean(0), LABELS) + lam * shift


@pytest.mark.parametrize("lam", [0.0, 0.005, 3.0])
def test_it_is_the_formula_with_its_gradients(lam):
    watched = Watched(lam=lam)
    other = Watched().network
    found, expected = watched(images()), by_formula(other, images(), lam)
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    for own, theirs in zip(watched.network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(own.grad, theirs.grad)


def test_the_last_forward_counts_and_is_used_once():
    watched = Watched(lam=3.0).eval()
    watched.network(images(1))
    assert torch.equal(watched(images()), watched(images()))
    with pytest.raises(RuntimeError, match="no forward of the network"):
        watched.loss(torch.zeros(T, 2, 4), LABELS)


def test_a_copy_watches_its_own_network():
    watched = Watched(lam=3.0).eval()
    copied = copy.deepcopy(watched)
    expected = watched(images())
    watched.network(images(1))
    assert torch.equal(copied(images()), expected)


def test_soft_labels_are_cross_entropy_targets():
    loss, network = InformationMaximization(lam=0.0), Watched().network.eval()
    loss.follow(network)
    hard = loss(network(images()), LABELS)
    soft = loss(network(images()), functional.one_hot(LABELS, 4).double())
    torch.testing.assert_close(soft, hard)


def test_several_passes_are_more_samples():
    loss, network = InformationMaximization(lam=0.0), Watched().network.eval()
    loss.follow(network)
    logits = network(images().repeat(2, 1, 1, 1))
    torch.testing.assert_close(loss(logits, LABELS), functional.cross_entropy(logits.mean(0), LABELS.repeat(2)))


def test_a_network_without_such_blocks_is_refused():
    with pytest.raises(UserError, match="loss=im: SEWResNet19 has not two residual blocks that fire after the sum"):
        InformationMaximization().follow(SEWResNet19(**PARTS, **SIZES))
    with pytest.raises(UserError, match=r"loss\.lam"):
        InformationMaximization(lam=-1.0)
