"""SML's ResNet: the modules beside it are those of plain PyTorch layers, and leave the network as it is."""

import copy

import pytest
import torch
from torch import nn

from snnbench.backbones import SMLResNet
from snnbench.errors import UserError

T, B, CLASSES = 3, 4, 7
SMALL = {"width": 4, "image_size": [9, 11], "num_classes": CLASSES, "T": T}


def network(build, **options):
    torch.manual_seed(0)
    return build("resnet18_sml", **{**SMALL, "module_width": 6, "module_hidden": 10, **options}).double()


def images(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(B, 3, 9, 11, dtype=torch.float64, generator=generator) * 2


def alone(build, net):
    """The ResNet with the network's weights."""
    plain = build("resnet18_cifar", **SMALL).double()
    plain.load_state_dict({key: value for key, value in net.state_dict().items() if not key.startswith("aside.")})
    return plain


def plain_module(c_in, width, hidden):
    layers, sizes = [], ((7, 2), (5, 2), (3, 1))
    for c, (kernel, stride) in zip((c_in, width, width), sizes, strict=True):
        conv = nn.Conv2d(c, width, kernel, stride, kernel // 2, bias=False)
        layers += [conv, nn.BatchNorm2d(width), nn.LeakyReLU(0.01)]
    layers += [nn.AdaptiveAvgPool2d((2, 2)), nn.Flatten(), nn.Linear(4 * width, hidden), nn.BatchNorm1d(hidden)]
    return nn.Sequential(*layers, nn.LeakyReLU(0.01), nn.Linear(hidden, CLASSES)).double()


def test_modules_logits_stand_behind_the_networks_own_and_read_features_averaged_over_time(build):
    net, x = network(build), images()
    plain, features = alone(build, net), {}
    for n in (3, 6):
        plain.stages[n - 1].register_forward_hook(lambda m, args, out, n=n: features.__setitem__(n, out))
    own, third, sixth = net(x).split(B, 1)
    torch.testing.assert_close(own, plain(x))
    for n, found in ((3, third), (6, sixth)):
        reference = plain_module(features[n].shape[2], 6, 10)
        values = [value for key, value in net.state_dict().items() if key.startswith(f"aside.{n}.")]
        reference.load_state_dict(dict(zip(reference.state_dict(), values, strict=True)))
        torch.testing.assert_close(found, reference(features[n].sum(0) / T).expand(T, -1, -1))
        assert found.std() > 0


def test_in_evaluation_it_is_the_resnet_alone(build):
    net, x = network(build), images()
    net(x)  # so that the norms know the data
    plain = alone(build, net).eval()
    for module in net.aside.values():
        module.register_forward_hook(lambda *_: pytest.fail("a module was called"))
    assert torch.equal(net.eval()(x), plain(x))
    assert net(x).std() > 0


def test_every_parameter_learns(build):
    net = network(build)
    logits = net(torch.stack([images(), images(1), images(2)]))
    nn.functional.cross_entropy(logits.mean(0), torch.arange(3 * B) % CLASSES).backward()
    behind = {f"aside.{n}.layers.11.bias" for n in (3, 6)}  # which the norm behind it cancels
    for key, parameter in net.named_parameters():
        assert key in behind or parameter.grad.abs().max() > 1e-9, f"{key} gets no gradient"
    assert all(net.get_parameter(key).grad.abs().max() < 1e-12 for key in behind)


def test_a_still_image_is_that_image_repeated_and_layouts_are_the_same(build):
    net, x = network(build), images()
    other, last = copy.deepcopy(net), copy.deepcopy(net).to(memory_format=torch.channels_last)
    last.layout = "channels_last"
    logits = net(x)
    torch.testing.assert_close(other(x.repeat(T, 1, 1, 1, 1)), logits)
    torch.testing.assert_close(last(x), logits)
    for key, value in net.state_dict().items():
        torch.testing.assert_close(other.state_dict()[key], value)


@pytest.mark.parametrize(("after", "passes"), [([1], 2), ([8, 2, 2], 3)])
def test_there_is_one_module_behind_each_block_that_is_named(build, after, passes):
    net = network(build, modules_after=after, T=1)
    assert isinstance(net, SMLResNet)
    assert net(images()).shape == (1, passes * B, CLASSES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modules_after": [3, 9]}, r"modules_after=\[3, 9\]: must be a list of whole numbers from 1 to 8"),
        ({"modules_after": [3, 6], "blocks": [1, 1, 1, 1]}, r"backbone.modules_after=\[3, 6\].*from 1 to 4"),
        ({"modules_after": []}, r"backbone.modules_after=\[\]"),
        ({"modules_after": 3}, r"backbone.modules_after=3: must be a list"),
        ({"modules_after": [0]}, r"backbone.modules_after=\[0\]"),
        ({"module_width": 0}, r"backbone.module_width=0"),
        ({"module_hidden": 2.5}, r"backbone.module_hidden=2.5"),
        ({"width": 0}, r"backbone.width=0"),
        ({"blocks": [2, 2]}, r"backbone.blocks=\[2, 2\].*of length 4"),
        ({"image_size": 7}, r"backbone.image_size=7x7"),
    ],
)
def test_bad_values_name_the_key(build, options, message):
    with pytest.raises(UserError, match=message):
        network(build, **options)
