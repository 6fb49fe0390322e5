"""Sizes of the networks against the papers, and against counts made by hand from the layer lists."""

from itertools import pairwise

import pytest
import torch

from snnbench.neurons import SpikingNeuron


def conv(c_in, c_out, kernel=3, bias=False):
    """A convolution and the batch norm after it."""
    return c_in * c_out * kernel**2 + (c_out if bias else 0) + 2 * c_out


def linear(n_in, n_out, bias=True):
    return n_in * n_out + (n_out if bias else 0)


def basic_stages(c_in, widths, blocks):
    total = 0
    for width, count in zip(widths, blocks, strict=True):
        shortcut = 0 if c_in == width else conv(c_in, width, kernel=1)
        total += conv(c_in, width) + conv(width, width) + shortcut
        total += (count - 1) * 2 * conv(width, width)
        c_in = width
    return total


def resnet20(classes):
    stages = basic_stages(64, (64, 128, 256, 512), (2, 2, 2, 2))
    return conv(3, 64) + 2 * conv(64, 64) + stages + linear(512, classes)


def resnet19_tdbn(classes):
    stages = basic_stages(64, (128, 256, 512), (3, 3, 2))
    return conv(3, 64) + stages + linear(512, 256) + linear(256, classes)


def resnet19_fsta(classes):
    return conv(3, 128) + basic_stages(128, (128, 256, 512), (3, 3, 2)) + linear(512, classes)


def resnet19_sakd(classes):
    return conv(3, 64) + basic_stages(64, (128, 256, 512), (3, 3, 2)) + linear(512, classes)


def resnet19_braincog(classes):
    stages = basic_stages(128, (128, 256, 512), (3, 3, 2))
    return conv(3, 128) + stages + 2 * 128 + linear(512, 256) + linear(256, classes)


def resnet_cifar(blocks, classes):
    return conv(3, 64) + basic_stages(64, (64, 128, 256, 512), blocks) + linear(512, classes)


def surrogate_module(c_in, classes):
    convs = conv(c_in, 256, kernel=7) + conv(256, 256, kernel=5) + conv(256, 256)
    return convs + linear(256 * 2 * 2, 512) + 2 * 512 + linear(512, classes)


def resnet18_sml(classes):
    return resnet_cifar((2, 2, 2, 2), classes) + surrogate_module(128, classes) + surrogate_module(256, classes)


def resnet_imagenet(*blocks):
    return conv(3, 64, kernel=7) + basic_stages(64, (64, 128, 256, 512), blocks) + linear(512, 1000)


def bottleneck_imagenet(*blocks):
    total, c_in = conv(3, 64, kernel=7), 64
    for width, count in zip((64, 128, 256, 512), blocks, strict=True):
        total += conv(c_in, 4 * width, kernel=1)
        for _ in range(count):
            total += conv(c_in, width, kernel=1) + conv(width, width) + conv(width, 4 * width, kernel=1)
            c_in = 4 * width
    return total + linear(2048, 1000)


def sew_7b(width, multipliers, classes):
    total, c_in = 0, 2
    for channels in (width * multiplier for multiplier in multipliers):
        total += (conv(c_in, channels, kernel=1) if c_in != channels else 0) + 2 * conv(channels, channels)
        c_in = channels
    return total + linear(c_in, classes)


def preact18(classes):
    total, c_in = 3 * 64 * 9, 64
    for width in (64, 128, 256, 512):
        for c in (c_in, width):
            total += 2 * c + (c * width * 9 + width) + 2 * width + (width * width * 9 + width)
        total += 0 if c_in == width else c_in * width + width
        c_in = width
    return total + 2 * 512 + linear(512, classes)


def vgg(c_in, widths, features, classes):
    total = 0
    for width in widths:
        total += conv(c_in, width, bias=True)
        c_in = width
    return total + linear(features, classes)


VGG11 = (64, 128, 256, 256, 512, 512, 512, 512)
VGG13 = (64, 64, 128, 128, 256, 256, 512, 512, 512, 512)
VGG16 = (64, 64, 128, 128, *(256,) * 3, *(512,) * 6)
VGGSNN = (64, 128, 256, 256, 512, 512, 512, 512)


def plifnet(c_in, width, convs, features, hidden, classes):
    body = conv(c_in, width) + (convs - 1) * conv(width, width)
    return body + linear(features, hidden, bias=False) + linear(hidden, 10 * classes, bias=False)


def splitting(c_in, dim):
    """The four stages and the last convolution."""
    widths = (c_in, dim // 8, dim // 4, dim // 2, dim, dim)
    return sum(conv(*pair) for pair in pairwise(widths))


def attention(dim, qkv_bias=False):
    return 3 * conv(dim, dim, kernel=1, bias=qkv_bias) + conv(dim, dim, kernel=1, bias=True)


def mlp(dim, ratio=4):
    return conv(dim, ratio * dim, kernel=1, bias=True) + conv(ratio * dim, dim, kernel=1, bias=True)


CASES = [
    # config, channels, classes, image size, overrides, neuron layers, millions (two decimals), exact
    ("convnet", 1, 10, 8, {}, 3, 0.01, conv(1, 16) + conv(16, 32) + conv(32, 32) + linear(32, 10)),
    ("convnet", 1, 10, 8, {"grid": 4}, 3, 0.02, conv(1, 16) + conv(16, 32) + conv(32, 32) + linear(32 * 16, 10)),
    ("resnet20", 3, 10, 32, {}, 19, 11.25, resnet20(10)),
    ("resnet20", 3, 100, 32, {}, 19, 11.29, resnet20(100)),
    ("resnet19", 3, 10, 32, {"variant": "tdbn"}, 18, 12.63, resnet19_tdbn(10)),
    ("resnet19", 3, 100, 32, {"variant": "tdbn"}, 18, 12.65, resnet19_tdbn(100)),
    ("resnet19", 3, 10, 32, {"variant": "fsta"}, 17, 12.57, resnet19_fsta(10)),
    ("resnet19", 3, 100, 32, {"variant": "fsta"}, 17, 12.62, resnet19_fsta(100)),
    ("resnet19", 3, 10, 32, {"variant": "sakd"}, 17, 12.50, resnet19_sakd(10)),
    ("resnet19", 3, 100, 32, {"variant": "sakd"}, 17, 12.55, resnet19_sakd(100)),
    ("resnet19", 3, 10, 32, {"variant": "braincog"}, 18, 12.70, resnet19_braincog(10)),
    ("resnet19", 3, 100, 32, {"variant": "braincog"}, 18, 12.72, resnet19_braincog(100)),
    ("resnet18_cifar", 3, 10, 32, {}, 17, 11.17, resnet_cifar((2, 2, 2, 2), 10)),
    ("resnet18_cifar", 3, 100, 32, {}, 17, 11.22, resnet_cifar((2, 2, 2, 2), 100)),
    ("resnet34_cifar", 3, 10, 32, {}, 33, 21.28, resnet_cifar((3, 4, 6, 3), 10)),
    ("resnet34_cifar", 3, 100, 32, {}, 33, 21.33, resnet_cifar((3, 4, 6, 3), 100)),
    ("resnet18_sml", 3, 10, 32, {}, 17, 21.51, resnet18_sml(10)),
    ("resnet18_sml", 3, 100, 32, {}, 17, 21.65, resnet18_sml(100)),
    ("resnet18", 3, 1000, 224, {}, 17, 11.69, resnet_imagenet(2, 2, 2, 2)),
    ("resnet34", 3, 1000, 224, {}, 33, 21.80, resnet_imagenet(3, 4, 6, 3)),
    ("sew_resnet18", 3, 1000, 224, {}, 20, 11.69, resnet_imagenet(2, 2, 2, 2)),
    ("sew_resnet34", 3, 1000, 224, {}, 36, 21.80, resnet_imagenet(3, 4, 6, 3)),
    ("resnet18_preact", 3, 10, 32, {}, 17, 11.18, preact18(10)),
    ("resnet18_preact", 3, 100, 32, {}, 17, 11.22, preact18(100)),
    ("sew_resnet50", 3, 1000, 224, {}, 53, 25.56, bottleneck_imagenet(3, 4, 6, 3)),
    ("sew_resnet101", 3, 1000, 224, {}, 104, 44.55, bottleneck_imagenet(3, 4, 23, 3)),
    ("sew_resnet152", 3, 1000, 224, {}, 155, 60.19, bottleneck_imagenet(3, 8, 36, 3)),
    ("spiking_resnet18", 3, 1000, 224, {}, 17, 11.69, resnet_imagenet(2, 2, 2, 2)),
    ("spiking_resnet34", 3, 1000, 224, {}, 33, 21.80, resnet_imagenet(3, 4, 6, 3)),
    ("spiking_resnet50", 3, 1000, 224, {}, 49, 25.56, bottleneck_imagenet(3, 4, 6, 3)),
    ("spiking_resnet101", 3, 1000, 224, {}, 100, 44.55, bottleneck_imagenet(3, 4, 23, 3)),
    ("spiking_resnet152", 3, 1000, 224, {}, 151, 60.19, bottleneck_imagenet(3, 8, 36, 3)),
    ("sew_7b", 2, 11, 128, {}, 15, 0.13, sew_7b(32, [1] * 7, 11)),
    ("sew_7bwide", 2, 10, 128, {}, 16, 1.19, sew_7b(64, [1, 1, 1, 1, 2, 2, 2], 10)),
    ("vgg11", 2, 11, 128, {}, 8, 9.50, vgg(2, VGG11, 512 * 7 * 7, 11)),
    ("vgg13", 3, 200, 64, {}, 10, 14.43, vgg(3, VGG13, 512 * 7 * 7, 200)),
    ("vgg16", 3, 10, 32, {}, 13, 14.73, vgg(3, VGG16, 512, 10)),
    (
        "nf_resnet34",
        3,
        1000,
        224,
        {},
        32,
        21.80,
        21_797_672 + 16,
    ),  # ResNet-34's, as many gains as norms, and 16 blocks'
    ("vggsnn", 2, 10, 48, {}, 8, 9.27, vgg(2, VGGSNN, 512 * 3 * 3, 10)),
    ("vggsnn", 3, 200, 64, {}, 8, 10.86, vgg(3, VGGSNN, 512 * 4 * 4, 200)),
    (
        "spikformer",
        3,
        10,
        32,
        {},
        33,
        9.32,
        splitting(3, 384) + 4 * (attention(384, qkv_bias=True) + mlp(384)) + linear(384, 10),
    ),
    ("spikformer_dvs", 2, 10, 128, {}, 19, 2.57, splitting(2, 256) + 2 * (attention(256) + mlp(256)) + linear(256, 10)),
    ("spikingformer", 3, 10, 32, {}, 32, 9.32, splitting(3, 384) + 4 * (attention(384) + mlp(384)) + linear(384, 10)),
    (
        "spikingformer_dvs",
        2,
        10,
        128,
        {},
        18,
        2.57,
        splitting(2, 256) + 2 * (attention(256) + mlp(256)) + linear(256, 10),
    ),
    ("sdt", 3, 10, 32, {}, 19, 10.23, splitting(3, 512) + 2 * (attention(512) + mlp(512)) + linear(512, 10)),
    ("sdt_dvs", 2, 11, 128, {}, 19, 2.57, splitting(2, 256) + 2 * (attention(256) + mlp(256)) + linear(256, 11)),
    ("qkformer", 3, 10, 32, {}, 35, 6.71, 6_706_234),  # the authors' log
    ("qkformer_dvs", 2, 10, 128, {}, 21, 1.50, 1_504_138),  # the authors' log
    ("plifnet_mnist", 1, 10, 28, {}, 4, 13.20, plifnet(1, 128, 2, 128 * 7 * 7, 2048, 10)),
    ("plifnet_cifar10", 3, 10, 32, {}, 8, 36.72, plifnet(3, 256, 6, 256 * 8 * 8, 2048, 10)),
    ("plifnet_nmnist", 2, 10, 34, {}, 4, 17.13, plifnet(2, 128, 2, 128 * 8 * 8, 2048, 10)),
    ("plifnet_cifar10dvs", 2, 10, 128, {}, 6, 17.43, plifnet(2, 128, 4, 128 * 8 * 8, 2048, 10)),
    ("plifnet_dvs128gesture", 2, 11, 128, {}, 7, 1.70, plifnet(2, 128, 5, 128 * 4 * 4, 512, 11)),
]


@pytest.mark.parametrize(("name", "channels", "classes", "size", "overrides", "neurons", "millions", "exact"), CASES)
def test_size(build, name, channels, classes, size, overrides, neurons, millions, exact):
    with torch.device("meta"):
        net = build(name, in_channels=channels, num_classes=classes, image_size=size, **overrides)
    of_neurons = sum(p.numel() for m in net.modules() if isinstance(m, SpikingNeuron) for p in m.parameters())
    count = sum(p.numel() for p in net.parameters()) - of_neurons
    assert count == exact
    assert round(count / 1e6, 2) == millions
    assert sum(isinstance(m, SpikingNeuron) for m in net.modules()) == neurons
