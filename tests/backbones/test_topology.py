"""How the layers are connected: resolutions, blocks by formula, and whole networks against SpikingJelly's."""

from collections import Counter
from functools import partial

import pytest
import torch
from torch.nn import functional

from snnbench.backbones import PLIFNet, SEWResNet
from snnbench.backbones.layers import unit_factory
from snnbench.backbones.norms import BatchNorm
from snnbench.backbones.preact import PreActBlock
from snnbench.backbones.residual import BasicBlock
from snnbench.neurons import LIF, SpikingNeuron

neuron = partial(LIF, tau=2.0, v_th=0.3, engine="reference")


@pytest.mark.parametrize(
    ("name", "size", "overrides", "maps"),
    [
        ("convnet", 8, {"width": 2}, {8: 2, 4: 1}),
        ("resnet20", 32, {"width": 2}, {32: 3, 16: 4, 8: 4, 4: 4, 2: 4}),
        ("resnet19", 32, {"width": 2, "variant": "tdbn"}, {32: 7, 16: 6, 8: 4, None: 1}),
        ("resnet19", 32, {"width": 2, "variant": "fsta"}, {32: 7, 16: 6, 8: 4}),
        ("resnet18", 224, {"width": 2}, {112: 1, 56: 4, 28: 4, 14: 4, 7: 4}),
        ("resnet18_cifar", 32, {"width": 2}, {32: 5, 16: 4, 8: 4, 4: 4}),
        ("resnet34", 224, {"width": 2}, {112: 1, 56: 6, 28: 8, 14: 12, 7: 6}),
        ("sew_resnet18", 224, {"width": 2}, {112: 1, 56: 4, 28: 5, 14: 5, 7: 5}),
        ("sew_resnet50", 224, {"width": 2}, {112: 1, 56: 11, 28: 13, 14: 19, 7: 9}),
        ("spiking_resnet50", 224, {"width": 2}, {112: 1, 56: 10, 28: 12, 14: 18, 7: 8}),
        ("sew_7b", 128, {"width": 2}, {128: 3, 64: 2, 32: 2, 16: 2, 8: 2, 4: 2, 2: 2}),
        ("ms_resnet18_glif", 224, {"width": 2}, {110: 2, 55: 4, 28: 4, 14: 4, 7: 3}),
        ("resnet18_preact", 32, {"width": 2}, {32: 5, 16: 4, 8: 4, 4: 4}),
        ("vgg11", 128, {"width": 2}, {128: 1, 64: 1, 32: 2, 16: 2, 8: 2}),
        ("vgg13", 64, {"width": 2}, {64: 2, 32: 2, 16: 2, 8: 2, 4: 2}),
        ("vgg16", 32, {"width": 2}, {32: 2, 16: 2, 8: 3, 4: 3, 2: 3}),
        ("vggsnn", 48, {"width": 2}, {48: 2, 24: 2, 12: 2, 6: 2}),
        ("spikformer", 32, {"width": 16, "depth": 1, "heads": 4}, {32: 3, 16: 1, 8: 8}),
        ("spikformer_dvs", 128, {"width": 16, "depth": 1, "heads": 4}, {128: 1, 64: 1, 32: 1, 16: 1, 8: 8}),
        ("spikingformer", 32, {"width": 16, "depth": 1, "heads": 4}, {32: 3, 16: 1, 8: 7}),
        ("sdt_dvs", 128, {"width": 16, "depth": 1, "heads": 4}, {128: 2, 64: 1, 16: 7, 1: 1, None: 1}),
        ("qkformer", 32, {"width": 32, "depth": 1, "heads": 4}, {32: 10, 16: 9, 8: 9}),
        ("qkformer_dvs", 128, {"width": 32, "depth": 1, "heads": 4}, {128: 1, 64: 1, 32: 1, 16: 9, 8: 9}),
        ("plifnet_mnist", 28, {"width": 2, "hidden": 8}, {28: 1, 14: 1, None: 2}),
        ("plifnet_cifar10", 32, {"width": 2, "hidden": 8}, {32: 3, 16: 3, None: 2}),
        ("plifnet_cifar10dvs", 128, {"width": 2, "hidden": 8}, {128: 1, 64: 1, 32: 1, 16: 1, None: 2}),
        ("plifnet_dvs128gesture", 128, {"width": 2, "hidden": 8}, {128: 1, 64: 1, 32: 1, 16: 1, 8: 1, None: 2}),
    ],
)
def test_resolution_of_each_neuron_layer(build, name, size, overrides, maps):
    net = build(name, image_size=size, T=1, **overrides).eval()
    seen = Counter()
    for module in net.modules():
        if isinstance(module, SpikingNeuron):
            module.register_forward_hook(lambda m, args, out: seen.update([out.shape[3] if out.dim() == 5 else None]))
    net(torch.randn(1, 3, size, size))
    assert seen == maps


def spikes(*shape):
    torch.manual_seed(0)
    return (torch.rand(shape) < 0.4).float()


def conv(layer, x):
    frames = [functional.conv2d(f, layer.weight, layer.bias, layer.stride, layer.padding) for f in x]
    return torch.stack(frames)


@pytest.mark.parametrize(("c_out", "stride", "average"), [(4, 1, True), (6, 1, False), (6, 2, False), (6, 2, True)])
def test_basic_block_formula(c_out, stride, average):
    block = BasicBlock(4, c_out, stride, unit=unit_factory(BatchNorm, neuron), norm=BatchNorm, average=average)
    x = spikes(2, 3, 4, 7, 7)
    identity = x
    if c_out != 4 or stride != 1:
        if average:
            identity = torch.stack([functional.avg_pool2d(f, 2, ceil_mode=True, count_include_pad=False) for f in x])
        projection, norm = list(block.shortcut)[-2:]
        assert projection.weight.shape == (c_out, 4, 1, 1)
        assert projection.stride == ((1, 1) if average else (stride, stride))
        identity = norm(conv(projection, identity))
    middle = neuron()(block.unit1.norm(conv(block.conv1, x)))
    expected = neuron()(block.unit2.norm(conv(block.conv2, middle)) + identity)
    assert torch.equal(block(x), expected)
    assert 0 < expected.mean() < 1


@pytest.mark.parametrize("name", ["spiking_resnet18", "resnet19"])
def test_what_two_balanced_norms_add_up_to_has_the_deviation_of_one(build, name):
    net = build(name, image_size=64, width=4, balanced=True)
    gains = Counter(
        (block.unit2.norm.gain, *[m.gain for m in block.shortcut if isinstance(m, BatchNorm)]) for block in net.stages
    )
    assert set(gains) == {(0.5**0.5,), (0.5**0.5, 0.5**0.5)}
    assert net.unit.norm.gain == net.stages[0].unit1.norm.gain == 1


@pytest.mark.parametrize(("c_out", "stride"), [(4, 1), (6, 2)])
def test_preact_block_formula(c_out, stride):
    block = PreActBlock(4, c_out, stride, unit=unit_factory(BatchNorm, neuron), dropout=0.0)
    x = torch.randn(2, 3, 4, 7, 7)
    s = neuron()(block.unit1.norm(x))
    identity = s if c_out == 4 else conv(block.shortcut, s)
    middle = neuron()(block.unit2.norm(conv(block.conv1, s)))
    torch.testing.assert_close(block(x), conv(block.conv2, middle) + identity)


def copy_weights(theirs, ours):
    """Both list their layers in order of execution."""
    pairs = list(zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))
    for mine, other in pairs:
        mine.copy_(other)


def test_sew_resnet18_equals_spikingjelly():
    from spikingjelly.activation_based import functional as sj
    from spikingjelly.activation_based import neuron as sj_neuron
    from spikingjelly.activation_based.model.sew_resnet import sew_resnet18

    torch.manual_seed(0)
    theirs = sew_resnet18(cnf="ADD", spiking_neuron=sj_neuron.LIFNode, num_classes=7, v_threshold=0.3).double()
    sj.set_step_mode(theirs, "m")
    sizes = {"in_channels": 3, "num_classes": 7, "image_size": 64, "blocks": [2, 2, 2, 2]}
    ours = SEWResNet(neuron=neuron, norm=BatchNorm, T=2, **sizes).double()
    with torch.no_grad():
        copy_weights(theirs, ours)
        x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
        expected = theirs(x.expand(2, *x.shape))
        torch.testing.assert_close(ours(x), expected)
        assert expected[0].std() > 0


def test_plifnet_equals_spikingjelly():
    from spikingjelly.activation_based import functional as sj
    from spikingjelly.activation_based import neuron as sj_neuron
    from spikingjelly.activation_based.model.parametric_lif_net import DVSGestureNet

    torch.manual_seed(0)
    theirs = DVSGestureNet(channels=128, spiking_neuron=sj_neuron.LIFNode, v_threshold=0.3).double()
    sj.set_step_mode(theirs, "m")
    sizes = {"in_channels": 2, "num_classes": 11, "image_size": 128, "stages": [1] * 5, "width": 128, "hidden": 512}
    ours = PLIFNet(neuron=neuron, norm=BatchNorm, T=2, dropout=0.0, hidden_dropout=0.0, **sizes).double()
    for linear in (m for m in theirs.modules() if isinstance(m, torch.nn.Linear)):
        linear.bias = None
    for dropout in (m for m in theirs.modules() if "Dropout" in type(m).__name__):
        dropout.p = 0.0
    with torch.no_grad():
        copy_weights(theirs, ours)
        x = torch.randn(2, 1, 2, 128, 128, dtype=torch.float64)
        expected = theirs(x)
        torch.testing.assert_close(ours(x), expected)
        assert expected.std() > 0
