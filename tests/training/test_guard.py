"""The guard names the layer in which the numbers of this very run overflow."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision, Precision
from torch import nn

from snnbench.training.guard import NonFinite, NonFiniteGuard
from snnbench.training.module import SpikingClassifier


class Head(nn.Linear):
    """One weight that float32 holds, and that bfloat16 rounds to infinity."""

    def __init__(self) -> None:
        super().__init__(1, 1, bias=False)
        self.weight.data.fill_(3.4e38)


@pytest.mark.parametrize(
    ("precision", "origin"),
    [(MixedPrecision("bf16-mixed", "cpu"), r"layer head \(Head\): its output"), (Precision(), "the loss itself")],
)
def test_the_diagnosis_computes_as_the_run_did(precision, origin):
    network = nn.Sequential()
    network.add_module("head", Head())
    module = SpikingClassifier(network, nn.Identity(), torch.optim.SGD, lambda optimizer: None, seed=0)
    trainer = SimpleNamespace(precision_plugin=precision, global_step=3, current_epoch=1)
    guard = NonFiniteGuard()
    guard.on_fit_start(trainer, module)
    module(torch.ones(1, 1))
    with pytest.raises(NonFinite, match=rf"the loss is nan in epoch 2, step 4: first {origin}"):
        guard.on_before_backward(trainer, module, torch.tensor(torch.nan))
