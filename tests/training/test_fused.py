"""Fused optimizers: the same update, from whatever state, in whatever layout."""

from __future__ import annotations

import copy
from functools import partial

import hydra
import lightning
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from snnbench import config
from snnbench.training.build import build_optimizer
from snnbench.training.fused import align, build_fused
from snnbench.training.module import SpikingClassifier
from snnbench.training.optim import ConstantSchedule

KINDS = {
    "sgd": partial(torch.optim.SGD, lr=0.1),
    "momentum": partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01, maximize=True),
    "adam": partial(torch.optim.Adam, lr=0.01, weight_decay=0.1),
    "amsgrad": partial(torch.optim.Adam, lr=0.01, amsgrad=True),
    "adamw": partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1, betas=(0.8, 0.99)),
}
SHAPES = [(6, 4, 3, 3), (5, 7), (6,), ()]


def parameters(dtype: torch.dtype = torch.float32, channels_last: bool = False) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(shape, generator=generator).to(dtype) for shape in SHAPES]
    if channels_last:
        values[0] = values[0].contiguous(memory_format=torch.channels_last)
    return [nn.Parameter(value) for value in values]


def groups(found: list[nn.Parameter]) -> list[dict]:
    return [{"params": found[:2]}, {"params": found[2:], "weight_decay": 0.0, "lr": 0.02}]


def steps(optimizer: torch.optim.Optimizer, number: int, seed: int = 1, channels_last: bool = False) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    found = [p for group in optimizer.param_groups for p in group["params"]]
    for _ in range(number):
        for p in found:
            p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)
            if channels_last and p.dim() == 4:
                p.grad = p.grad.contiguous(memory_format=torch.channels_last)
        align(optimizer)
        optimizer.step()
    return [p.detach().clone() for p in found]


def error(found: list[Tensor], expected: list[Tensor]) -> float:
    return max((a.double() - b.double()).abs().max().item() for a, b in zip(found, expected, strict=True))


def ways(optimizer: torch.optim.Optimizer) -> set[bool]:
    return {bool(group.get("fused")) for group in optimizer.param_groups}


@pytest.mark.parametrize("kind", KINDS)
def test_the_update_is_the_same_up_to_rounding(kind: str) -> None:
    fused = build_fused(KINDS[kind], groups(parameters()))
    plain = KINDS[kind](groups(parameters()))
    exact = KINDS[kind](groups(parameters(torch.float64)))
    assert ways(fused) == {True}
    assert [group["lr"] for group in fused.param_groups] == [group["lr"] for group in plain.param_groups]
    expected = steps(exact, 30)
    assert error(steps(fused, 30), expected) <= 2 * error(steps(plain, 30), expected) + 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [True, False], ids=["fused first", "fused later"])
@pytest.mark.parametrize("channels_last", [True, False])
def test_a_run_goes_on_from_the_state_of_the_other_way(kind: str, first: bool, channels_last: bool) -> None:
    """Also where the parameters have another layout by now than the state that was saved."""
    build = {True: partial(build_fused, KINDS[kind]), False: partial(build_fused, KINDS[kind], wanted=False)}
    whole = KINDS[kind](groups(parameters()))
    steps(whole, 2)
    expected = steps(whole, 2, seed=2)
    begun = build[first](groups(parameters()))
    steps(begun, 2)
    later = parameters(channels_last=channels_last)
    for p, q in zip(later, [p for group in begun.param_groups for p in group["params"]], strict=True):
        p.data.copy_(q)
    optimizer = build[not first](groups(later))
    optimizer.load_state_dict(copy.deepcopy(begun.state_dict()))
    assert ways(optimizer) == {not first}
    assert error(steps(optimizer, 2, seed=2), expected) < 2e-6


@pytest.mark.parametrize("kind", ["momentum", "adamw"])
@pytest.mark.parametrize("parameter_last", [True, False])
@pytest.mark.parametrize("gradient_last", [True, False])
def test_layouts_may_differ_and_change(kind: str, parameter_last: bool, gradient_last: bool) -> None:
    plain = KINDS[kind](groups(parameters()))
    fused = build_fused(KINDS[kind], groups(parameters(channels_last=parameter_last)))
    steps(plain, 3)
    steps(fused, 3, channels_last=gradient_last)
    weight = fused.param_groups[0]["params"][0]
    other = torch.contiguous_format if parameter_last else torch.channels_last
    weight.data = weight.data.contiguous(memory_format=other)
    expected = steps(plain, 3, seed=2)
    assert error(steps(fused, 3, seed=2, channels_last=gradient_last), expected) < 2e-6
    assert ways(fused) == {True}


class Own(torch.optim.SGD):
    """Somebody's class, that means something else by it."""

    def __init__(self, params, lr, fused=None) -> None:
        super().__init__(params, lr)
        assert fused is None


@pytest.mark.parametrize(
    "factory",
    [
        partial(torch.optim.SGD, lr=0.1, fused=False),
        partial(torch.optim.SGD, lr=0.1, foreach=True),
        partial(torch.optim.SGD, lr=0.1, foreach=False),
        partial(torch.optim.Adam, lr=0.1, differentiable=True),
        partial(torch.optim.SGD, lr=0.1, momentum=0.9, dampening=0.1),
        partial(torch.optim.NAdam, lr=0.1),
        partial(Own, lr=0.1),
    ],
)
def test_another_way_that_was_asked_for_is_taken(factory: partial) -> None:
    optimizer = build_fused(factory, groups(parameters()))
    assert ways(optimizer) == {False}
    if not factory.keywords.get("differentiable"):
        assert error(steps(optimizer, 2), steps(factory(groups(parameters())), 2)) == 0


def test_parameters_that_cannot_be_fused_are_not() -> None:
    spaced = nn.Parameter(torch.zeros(4, 6)[:, ::2])
    for parameter in (spaced, nn.Parameter(torch.zeros(3, dtype=torch.complex64))):
        assert ways(build_fused(KINDS["sgd"], [{"params": [parameter]}])) == {False}
    assert ways(build_fused(partial(torch.optim.Adagrad, lr=0.1), groups(parameters()))) == {True}


def test_sparse_gradients_end_the_fusing() -> None:
    table = nn.Embedding(5, 3, sparse=True)
    expected = table.weight.detach().clone()
    expected[2] -= 0.1
    optimizer = build_fused(KINDS["sgd"], [{"params": [table.weight]}])
    table(torch.tensor([2])).sum().backward()
    align(optimizer)
    optimizer.step()
    torch.testing.assert_close(table.weight.detach(), expected)


def composed(*words: str) -> DictConfig:
    config.register_schema()
    with hydra.initialize_config_dir(str(config.CONFIGS), version_base="1.3"):
        return hydra.compose("train", ["paths.output_dir=out", *words])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["optimizer=sgd"], True),
        (["optimizer=adamw", "trainer.gradient_clip_val=1"], True),
        (["trainer.precision=16-mixed"], True),
        (["trainer.precision=16-mixed", "trainer.gradient_clip_val=1"], False),
        (["+optimizer.foreach=true"], False),
    ],
)
def test_configs_fuse_by_default(words: list[str], expected: bool) -> None:
    assert ways(build_optimizer(composed(*words))(nn.Linear(3, 2))) == {expected}


def fit(
    factory: partial, precision: str, clip: float | None, wanted: bool = True, scale: float = 2.0**8
) -> list[Tensor]:
    """A few steps by Lightning, with the gradient's norm bounded or not, and a scaler or not."""
    network = nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Flatten(1), nn.Linear(4, 3), nn.Unflatten(0, (1, -1)))
    with torch.no_grad():
        for number, p in enumerate(network.parameters(), start=1):
            p.copy_(torch.linspace(-number, 1, p.numel()).view_as(p))
    module = SpikingClassifier(
        network,
        lambda logits, labels: nn.functional.cross_entropy(logits[0].float(), labels),
        lambda network: build_fused(factory, [{"params": list(network.parameters())}], wanted=wanted),
        ConstantSchedule(),
        seed=0,
    )
    data = TensorDataset(torch.randn(12, 4, generator=torch.Generator().manual_seed(2)), torch.arange(12) % 3)
    scaled = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", scale, backoff_factor=2.0**-32))
    silent = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False)
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        gradient_clip_val=clip,
        plugins=[scaled] if precision == "16-mixed" else [],
        limit_val_batches=0,
        **silent,
    )
    trainer.fit(module, DataLoader(data, batch_size=4))
    assert ways(trainer.optimizers[0]) == {wanted}
    return [p.detach().clone() for p in network.parameters()]


@pytest.mark.parametrize("kind", ["momentum", "adamw"])
@pytest.mark.parametrize(("precision", "clip"), [("32-true", 0.05), ("32-true", None), ("16-mixed", None)])
def test_lightning_clips_and_scales_as_before(kind: str, precision: str, clip: float | None) -> None:
    fused, plain = fit(KINDS[kind], precision, clip), fit(KINDS[kind], precision, clip, wanted=False)
    assert error(fused, plain) < (1e-3 if precision == "16-mixed" else 1e-6)
    if kind == "momentum" and clip:
        assert error(fused, fit(KINDS[kind], precision, None)) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_step_that_a_scaler_leaves_out_leaves_nothing_behind(kind: str) -> None:
    ways = [fit(KINDS[kind], "16-mixed", None, wanted=wanted, scale=2.0**40) for wanted in (True, False)]
    assert error(*ways) < 1e-3
    assert error(ways[0], fit(KINDS[kind], "16-mixed", None)) > 1e-3, "one step less"


def test_a_parameter_may_get_its_first_gradient_later() -> None:
    found = {}
    for wanted in (True, False):
        optimizer = build_fused(KINDS["momentum"], groups(parameters()), wanted=wanted)
        late = optimizer.param_groups[0]["params"][1]
        for step in range(4):
            for p in (p for group in optimizer.param_groups for p in group["params"]):
                p.grad = None if p is late and step < 2 else torch.full_like(p, step + 1.0)
            align(optimizer)
            optimizer.step()
        found[wanted] = [p.detach() for group in optimizer.param_groups for p in group["params"]]
    assert error(found[True], found[False]) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_a_backward_over_a_step_is_refused_as_with_any_optimizer(kind):
    weight = nn.Parameter(torch.rand(4, 4))
    optimizer = build_fused(KINDS[kind], [{"params": [weight]}])
    assert optimizer.param_groups[0]["fused"]
    x = torch.rand(3, 4, requires_grad=True)
    y = x @ weight
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
