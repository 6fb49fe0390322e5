"""How a step is computed - layout, fused norms, bits - changes nothing but rounding, time and memory."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import profile

from snnbench.backbones.step import set_step
from snnbench.errors import UserError
from snnbench.kernels.spikes import convolution, library
from snnbench.neurons.base import spiking_layers

pytestmark = pytest.mark.skipif(library.library() is None, reason="no C++ compiler")
NETWORKS: dict[str, dict[str, Any]] = {
    "resnet20": {"width": 32, "norm": "bn_per_step"},
    "resnet19": {"width": 32, "norm": "tdbn"},
    "resnet18_preact": {"width": 32},
    "resnet18_glif": {"width": 32, "image_size": 32},
    "sew_resnet18": {"width": 32, "image_size": 64, "norm": "bn_per_step"},
    "vgg11": {"width": 32, "image_size": 64},
    "vggsnn": {"width": 32, "image_size": 64},
    "plifnet_cifar10": {"width": 32},
    "psnnet": {"width": 32},
    "seqnet": {"T": 32, "width": 32},
}


def network(build: Any, name: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    net: nn.Module = build(name, **{"T": 3, **NETWORKS[name], **options})
    for layer in spiking_layers(net).values():
        layer.engine = "auto"
    return net


def batch(net: nn.Module, moving: bool = False, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, net.in_channels, *net.image_size)
    x = torch.rand((net.T, *shape) if moving else shape, generator=generator)
    return x, torch.randint(10, (2,), generator=generator)


def gradients(net: nn.Module, x: Tensor, labels: Tensor) -> tuple[Tensor, list[Tensor]]:
    torch.manual_seed(2)  # of dropout
    net.zero_grad()
    logits = net(x)
    functional.cross_entropy(logits.mean(0), labels).backward()
    return logits.detach(), [p.grad.clone() for p in net.parameters() if p.grad is not None]


def away(found: tuple[Tensor, list[Tensor]], exact: tuple[Tensor, list[Tensor]]) -> float:
    """How far gradients are from the exact ones, relative to their length."""
    off = sum(float((a.double() - b).square().sum()) for a, b in zip(found[1], exact[1], strict=True))
    return (off / sum(float(b.square().sum()) for b in exact[1])) ** 0.5


WAYS: dict[str, dict[str, Any]] = {
    "auto": {},
    "first": {"layout": "contiguous"},
    "apart": {"fuse": False},
    "bits": {"memory": "bits"},
}


@pytest.mark.parametrize("moving", [False, True], ids=["image", "frames"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_way_is_as_near_to_float64_as_pytorch(build, name, moving):
    """A spike within rounding of its threshold may flip, and moves all that follow; but not in each of three."""
    found = []
    for seed in range(3):
        distances, limit = compared(network(build, name), moving, seed)
        found.append((distances, limit))
        if max(distances.values()) <= limit:
            return
    raise AssertionError(found)


def compared(plain: nn.Module, moving: bool, seed: int) -> tuple[dict[str, float], float]:
    """How far from float64 the gradients of each way are, and how far they may be for what PyTorch's own are."""
    exact = copy.deepcopy(plain).double()
    nets = {key: copy.deepcopy(plain) for key in WAYS}
    for key, options in WAYS.items():
        set_step(nets[key], **options)
    set_step(plain, engine="reference")
    for layer in spiking_layers(plain).values():
        layer.engine = "reference"
    x, labels = batch(plain, moving and not plain.in_parts, seed)
    wide = gradients(exact, x.double(), labels)
    limit = 10 * away(gradients(plain, x, labels), wide) + 1e-5
    distances = {key: away(gradients(net, x, labels), wide) for key, net in nets.items()}
    for key, net in nets.items():
        pairs = zip(net.buffers(), exact.buffers(), strict=True)
        if not all(torch.allclose(a.double(), b.double(), rtol=1e-2, atol=1e-2) for a, b in pairs):
            distances[key] = float("inf")
    return distances, limit


@pytest.mark.parametrize("name", ["resnet20", "vggsnn", "sew_resnet18"])
def test_bits_give_the_same_bits(build, name, monkeypatch):
    monkeypatch.setattr(convolution, "limits", lambda *_: (1.0, 1.0))
    floats, bits = network(build, name), network(build, name)
    set_step(floats)
    set_step(bits, memory="bits")
    x, labels = batch(floats)
    kept = [kept_bytes(net, x) for net in (floats, bits)]
    assert kept[1] < 0.7 * kept[0]
    a, b = gradients(floats, x, labels), gradients(bits, x, labels)
    assert all(torch.equal(p, q) for p, q in zip(a[1], b[1], strict=True))


def kept_bytes(net: nn.Module, x: Tensor) -> int:
    """What autograd keeps of activations."""
    weights = {p.data_ptr() for p in net.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        net(x)
    return sum(kept.values())


def test_no_layout_is_converted_within_a_step(build):
    """But for the image, weights, and what is flattened for a fully connected layer."""
    net = network(build, "resnet20")
    set_step(net)
    x, labels = batch(net)
    gradients(net, x, labels)
    with profile(record_shapes=True) as seen:
        gradients(net, x, labels)
    copies = [e.input_shapes for e in seen.events() if e.name == "aten::copy_"]
    maps = [shapes for shapes in copies if shapes and len(shapes[0]) >= 4 and min(shapes[0][-2:]) > 3]
    assert len(maps) == 1, maps  # the image


@pytest.mark.parametrize(("name", "channels"), [("resnet20", 3), ("resnet20", 1), ("vggsnn", 2)])
def test_the_layout_is_that_of_every_feature_map(build, name, channels):
    """Of an image of one channel, too, which lies both ways at once."""
    net = network(build, name, in_channels=channels)
    seen: list[Tensor] = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _m, _x, y: seen.append(y[0]))
    for layout in ("channels_last", "contiguous"):
        set_step(net, layout=layout)
        seen.clear()
        net(batch(net)[0])
        wanted = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        assert len(seen) > 7
        assert all(y.is_contiguous(memory_format=wanted) for y in seen)


def test_without_fused_norms_auto_stays_contiguous_on_a_cpu(build):
    """PyTorch's norm is ten times less exact there with channels last; on a GPU it is as exact."""
    net = network(build, "resnet20")
    set_step(net)
    assert (net.layout, net.last_on) == ("auto", ("cpu", "cuda"))
    assert lies_last(net)
    set_step(net, fuse=False)
    assert net.last_on == ("cuda",)
    assert not lies_last(net)
    set_step(net, engine="reference")
    assert net.last_on == ()
    assert not lies_last(net)
    set_step(net, fuse=False, layout="channels_last")
    assert lies_last(net)


def lies_last(net: nn.Module) -> bool:
    seen: list[bool] = []
    hook = net.convs[0].register_forward_hook(
        lambda _m, x, _y: seen.append(x[0].flatten(0, 1).is_contiguous(memory_format=torch.channels_last))
    )
    net(batch(net)[0])
    hook.remove()
    return seen[0]


def test_float64_stays_contiguous(build):
    net = network(build, "resnet20").double()
    set_step(net)
    seen: list[Tensor] = []
    net.convs[0].register_forward_hook(lambda _m, x, _y: seen.append(x[0]))
    net(batch(net)[0].double())
    assert seen[0].is_contiguous()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "nhwc"}, "layout=.nhwc"),
        ({"memory": "bit"}, "memory=.bit"),
        ({"fuse": "yes"}, "fuse=.yes.: must be auto, true or false"),
        ({"fuse": None}, "fuse=null: must be auto, true or false"),
        ({"memory": "bits", "fuse": False}, "memory=bits: needs"),
        ({"memory": "bits", "engine": "reference"}, "memory=bits: needs"),
    ],
)
def test_what_is_no_way_is_refused(build, options, message):
    with pytest.raises(UserError, match=message):
        set_step(network(build, "resnet20"), **options)


def test_bits_have_no_second_derivative_and_say_so(build):
    net = network(build, "resnet20")
    set_step(net, memory="bits")
    x, labels = batch(net)
    loss = functional.cross_entropy(net(x).mean(0), labels)
    with pytest.raises(RuntimeError, match=r"no second derivative; take (memory=floats|engine='reference')"):
        torch.autograd.grad(loss, list(net.parameters()), create_graph=True)


def test_autocast_stays_contiguous(build):
    net = network(build, "resnet20")
    set_step(net)
    seen: list[Tensor] = []
    net.convs[0].register_forward_hook(lambda _m, x, _y: seen.append(x[0]))
    with torch.autocast("cpu", torch.bfloat16):
        net(batch(net)[0])
    assert seen[0].is_contiguous()
