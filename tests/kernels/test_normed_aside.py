"""When a norm and the neuron behind it are called one after the other: where somebody looks on, or has changed them."""

from __future__ import annotations

import copy

import pytest
import torch
from test_normed import SHAPES, built, inputs, together
from torch import nn

from snnbench.backbones.layers import SpikingUnit


def watch_norm(made: SpikingUnit) -> None:
    made.norm.bn.register_forward_hook(lambda *_: None)


def watch_neuron(made: SpikingUnit) -> None:
    made.neuron.register_full_backward_hook(lambda *_: None)


def synchronise(made: SpikingUnit) -> None:
    made.norm.bn = nn.SyncBatchNorm.convert_sync_batchnorm(made.norm.bn)


def parametrize(made: SpikingUnit) -> None:
    nn.utils.parametrizations.weight_norm(made.norm.bn, dim=None)


def freeze(made: SpikingUnit) -> None:
    made.norm.bn.eval()


def replace(made: SpikingUnit) -> None:
    made.norm.forward = lambda x, repeats: made.norm.bn.weight.view(-1, 1, 1) * x  # type: ignore[method-assign]


def on_reference(made: SpikingUnit) -> None:
    made.neuron.engine = "reference"


def paused(made: SpikingUnit) -> None:
    """The usual way to keep statistics out of a pass."""
    made.norm.bn.track_running_stats = False


def folded_away(made: SpikingUnit) -> None:
    made.norm.bn = nn.Sequential(nn.GroupNorm(4, made.norm.bn.num_features))


def applied_otherwise(made: SpikingUnit) -> None:
    made.norm._apply_bn = lambda frames: made.norm.bn(frames)  # type: ignore[method-assign]


def untracked(made: SpikingUnit) -> None:
    made.norm.bn = nn.BatchNorm2d(made.norm.bn.num_features, track_running_stats=False)


def of_another_kind(made: SpikingUnit) -> None:
    """A module that is no SpikingNeuron, such as one of a library."""
    own = made.neuron
    made.neuron = nn.Module()
    made.neuron.forward = own.forward  # type: ignore[method-assign]


WATCHED = [watch_norm, watch_neuron]
CHANGED = [of_another_kind, synchronise, parametrize, freeze, replace, on_reference, untracked, paused]
CHANGED += [folded_away, applied_otherwise]


@pytest.mark.parametrize("change", WATCHED + CHANGED, ids=lambda f: f.__name__)
def test_steps_aside_where_somebody_looks_on_or_has_changed_it(change, monkeypatch):
    ran = together(monkeypatch)
    y, r, gs = inputs(SHAPES["block"], True)
    made = built("bn", "lif", SHAPES["block"])
    change(made)
    before = made.norm.bn.running_mean.clone() if change is paused else None
    made(y, 1, r).backward(gs)
    assert True not in ran
    assert before is None or torch.equal(made.norm.bn.running_mean, before)


def test_a_global_hook_sees_norm_and_neuron():
    made, seen = built("bn", "lif", SHAPES["block"]), []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(type(module).__name__))
    made(inputs(SHAPES["block"], False)[0])
    handle.remove()
    assert {"BatchNorm2d", "LIF"} <= set(seen)


@pytest.mark.parametrize("kind", ["half", "double", "gap", "expanded", "meta", "single"])
def test_other_inputs_take_the_way_of_pytorch(kind, monkeypatch):
    ran = together(monkeypatch)
    made = built("bn", "lif", (2, 2, 6))
    y = inputs((2, 2, 6, 4, 4), False)[0]
    if kind == "double":
        made, y = made.double(), y.double()
    elif kind == "half":
        made, y = made.bfloat16(), y.bfloat16()
    elif kind == "gap":
        y = torch.cat([y, y], -1)[..., :4]
    elif kind == "expanded":
        y = y[:, :, :, :1].expand(y.shape)
    elif kind == "meta":
        made, y = made.to("meta"), y.to("meta")
        made.neuron.engine = "reference"
    elif kind == "single":
        y = y[:1, :1, :, :1, :1]
        with pytest.raises(ValueError, match="more than 1 value"):
            made(y)
        return
    assert made(y).shape == y.shape
    assert True not in ran


@pytest.mark.parametrize("way", ["weight", "shape", "dimensions", "repeats"])
def test_what_does_not_fit_is_for_pytorch_to_refuse(way):
    made, y, repeats = built("bn", "lif", (2, 2, 6)), inputs((2, 2, 6, 4, 4), False)[0], 1
    if way == "weight":  # it lies with gaps
        made.norm.bn.weight = nn.Parameter(torch.rand(12)[::2])
        other = copy.deepcopy(made)
        other.fuses, other.norm.fuses = (), False
        assert torch.equal(made(y), other(y))
        return
    if way == "shape":
        y = y[:, :, :5]
    elif way == "dimensions":
        y = y[..., 0]
    elif way == "repeats":
        repeats = 3
    for part in (made, made.norm):
        with pytest.raises((ValueError, RuntimeError)):
            part(y.contiguous(), repeats)
