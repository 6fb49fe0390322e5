"""The networks of the PSN and GLIF papers for CIFAR against sizes and formulas by hand."""

import math

import pytest
import torch
from torch import nn

from snnbench.backbones.residual import BasicBlock
from snnbench.errors import UserError
from snnbench.neurons import SpikingNeuron


def psn_size(c_in, width, taps, cells, classes):
    convs = c_in * width * taps + 5 * width * width * taps + 6 * 2 * width
    features = width * cells
    return convs + features * (features // 4) + features // 4 + (features // 4) * classes + classes


def glif_size(stem, blocks, classes):
    total, c_in = 3 * stem * 9 + 2 * stem, stem
    for stage, count in enumerate(blocks):
        width = stem << stage
        total += c_in * width * 9 + (2 * count - 1) * width * width * 9 + 2 * count * 2 * width  # convolutions, norms
        total += count * 2 * width + (c_in * width if c_in != width else 0)  # every shortcut has a norm
        c_in = width
    return total + (512 * classes if classes > 50 else 512 * 256 + 256 * classes)


@pytest.mark.parametrize(
    ("name", "classes", "T", "layers", "millions", "exact"),
    [
        ("psnnet", 10, 4, 7, 70.11, psn_size(3, 256, 9, 64, 10)),
        ("seqnet", 10, 32, 7, 0.51, psn_size(3, 128, 3, 8, 10)),
        ("seqnet", 100, 32, 7, 0.54, psn_size(3, 128, 3, 8, 100)),
        ("resnet18_glif", 10, 4, 17, 11.30, glif_size(64, (2, 2, 2, 2), 10)),
        ("resnet18_glif", 100, 4, 17, 11.22, glif_size(64, (2, 2, 2, 2), 100)),
        ("resnet19_glif", 10, 4, 17, 12.70, glif_size(128, (3, 3, 2), 10)),
        ("resnet19_glif", 100, 4, 17, 12.62, glif_size(128, (3, 3, 2), 100)),
    ],
)
def test_size(build, name, classes, T, layers, millions, exact):
    with torch.device("meta"):
        net = build(name, num_classes=classes, T=T)
    assert sum(p.numel() for p in net.parameters()) == exact
    assert round(exact / 1e6, 2) == millions
    assert sum(isinstance(m, SpikingNeuron) for m in net.modules()) == layers


def test_a_timestep_of_seqnet_sees_its_own_column(build):
    net = build("seqnet", T=32, width=8).eval()
    image = torch.randn(2, 3, 32, 32)
    sequence = net.columns(image)
    assert sequence.shape == (32, 2, 3, 32, 1)
    for t in (0, 7, 31):
        assert torch.equal(sequence[t, ..., 0], image[..., t])


def test_seqnet_does_not_see_columns_before_their_time(build):
    net = build("seqnet", T=32, width=8).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.bias, 0.5)  # enough current for spikes everywhere
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    changed = image.clone()
    changed[..., 20] += 3
    with torch.no_grad():
        before, after = net(image), net(changed)
    assert torch.equal(before[:20], after[:20])
    assert not torch.equal(before[20:], after[20:])


def test_seqnet_convolves_along_the_height_like_conv1d(build):
    net = build("seqnet", T=32, width=8).eval()
    conv = net.layers[0]
    x = net.columns(torch.randn(2, 3, 32, 32)).contiguous()
    expected = nn.functional.conv1d(x[5, ..., 0], conv.weight[..., 0], padding=1)
    assert torch.allclose(conv(x)[5, ..., 0], expected, atol=1e-6)
    assert net.layers[6].kernel_size == (2, 1)


def test_strips_wider_than_a_column_are_channels_padded_at_the_right(build):
    net = build("seqnet", T=3, image_size=8, width=4)
    image = torch.arange(2 * 3 * 8 * 8.0).view(2, 3, 8, 8)
    sequence = net.columns(image)
    assert sequence.shape == (3, 2, 9, 8, 1)
    for c in range(3):
        for k in range(3):
            for t in range(3):
                column = 3 * t + k
                expected = image[:, c, :, column] if column < 8 else torch.zeros(2, 8)
                assert torch.equal(sequence[t, :, 3 * c + k, :, 0], expected)


def test_seqnet_refuses_frames_and_too_many_timesteps(build):
    net = build("seqnet", T=8, image_size=8, width=4)
    with pytest.raises(ValueError, match="still images"):
        net(torch.randn(8, 2, 3, 8, 8))
    with pytest.raises(UserError, match="T=9"):
        build("seqnet", T=9, image_size=8)


@pytest.mark.parametrize(("name", "blocks"), [("resnet18_glif", 8), ("resnet19_glif", 8)])
def test_glif_blocks_sum_two_normalised_branches_of_equal_weight(build, name, blocks):
    net = build(name, T=2, width=4).eval()
    found = [m for m in net.modules() if isinstance(m, BasicBlock)]
    assert len(found) == blocks
    assert all(len(block.shortcut) in (1, 2) for block in found)
    block = found[1]
    x = torch.randn(2, 3, 4, 8, 8)
    seen = []
    block.unit2.neuron.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        block(x)
        branch = block.conv2(block.unit1(block.conv1(x)))
    scale = math.sqrt(0.5) / math.sqrt(1 + 1e-5)  # fresh running statistics: mean 0, variance 1
    assert torch.allclose(seen[0], scale * (branch + x), atol=1e-6)


@pytest.mark.parametrize(("name", "size"), [("resnet18_glif", 8), ("resnet19_glif", 8)])
def test_glif_networks_end_with_a_map_of_a_quarter(build, name, size):
    net, seen = build(name, T=2, width=4), []
    net.stages.register_forward_hook(lambda _m, _i, out: seen.append(out.shape))
    net(torch.randn(1, 3, 32, 32))
    assert seen[0][-2:] == (size, size)


@pytest.mark.parametrize("strides", [[1, 2, 2], [1, 1, 2, 4]])
def test_glif_network_refuses_strides_that_do_not_fit(build, strides):
    with pytest.raises(UserError, match=r"backbone\.strides"):
        build("resnet18_glif", strides=strides)
