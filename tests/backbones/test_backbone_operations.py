"""Operations counted in every backbone, against PyTorch's count of FLOPs and sums over unit weights."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from snnbench.backbones.attention import SpikeMatmul
from tests.backbones.test_networks import REDUCED, reduced
from tests.energy.scripted import count

LTMD_HEAD = {"head.hidden.1.conv", "head.classes.0", "head.classes.1.conv"}  # they read currents and graded outputs
REAL_AFTER_NEURONS = {
    "resnet18_glif": {"fc.1"},
    "spikingformer": {"fc"},
    "nf_resnet34": {"fc"},
    "ms_resnet18_glif": {"fc.0", "fc.1", *(f"blocks.{n}.shortcut.0" for n in (2, 4, 6))},  # they read potentials
    "ltmdnet": LTMD_HEAD,
    **{name: {*LTMD_HEAD, "layers.3"} for name in ("densenet", "densenet_pooled")},  # which reads normalised spikes
}
ADDS_SPIKES = ("sew", "spikformer", "qkformer")  # in residual connections
OTHERS = {
    "psnnet": ({"image_size": 9}, {"width": 4}),
    "seqnet": ({"image_size": [9, 6]}, {"width": 4}),
    "resnet18_glif": ({"image_size": 9}, {"width": 4}),
    "resnet18_sml": ({"image_size": 9}, {"width": 4, "module_width": 4, "module_hidden": 6}),
}
T = 3


def network(build, name):
    if name in REDUCED:
        return reduced(build, name, T=T)
    data, sizes = OTHERS[name]
    torch.manual_seed(0)
    net = build(name, num_classes=7, T=T, **data, **sizes).double()
    return net, torch.randn(5, net.in_channels, *net.image_size, dtype=torch.float64) * 2


def reference(net, x):
    """By layer: the additions of its input's spikes, as what it puts out if every weight is 1; and its input."""
    found = {}

    def hook(name):
        def count(layer, inputs, output):
            if isinstance(layer, SpikeMatmul):
                spikes, other = inputs
                found[name] = (float((spikes @ torch.ones_like(other)).sum()), float(spikes.mean()))
                return
            ones = torch.ones_like(layer.weight)
            x = inputs[0] if isinstance(layer, nn.Linear) else inputs[0].flatten(0, 1)
            integers = torch.equal(x, x.round())
            spikes = x if integers else (x != 0).double()
            summed = nn.functional.linear(spikes, ones) if isinstance(layer, nn.Linear) else None
            if summed is None:
                summed = nn.functional.conv2d(
                    spikes, ones, None, layer.stride, layer.padding, layer.dilation, layer.groups
                )
            found[name] = (float(summed.sum()), float((x != 0).double().mean()))

        return count

    hooks = [
        module.register_forward_hook(hook(name))
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear | SpikeMatmul)
    ]
    with torch.no_grad():
        net(x)
    for handle in hooks:
        handle.remove()
    return found


@pytest.mark.parametrize("name", [*REDUCED, *OTHERS])
def test_every_backbone(build, name):
    net, x = network(build, name)
    with torch.no_grad():
        net(x)  # in training mode, so that the norms know the data and neurons fire
    net.eval()
    block = count(net, x).energy()
    layers = block["layers"]
    assert not any(layer.startswith("aside") for layer in layers), "what is of training alone costs nothing"
    stem = next(iter(layers))
    real = {stem} | REAL_AFTER_NEURONS.get(name, set())
    assert {layer for layer, counts in layers.items() if counts["input"] == "real"} == real
    sums = "sums" in {counts["input"] for counts in layers.values()}
    assert sums == name.startswith("sew") or name.startswith(ADDS_SPIKES)
    for layer, (additions, rate) in reference(net, x).items():
        counts = layers[layer]
        assert counts["input_rate"] == pytest.approx(rate)
        assert counts["ac"] == (0 if layer in real else pytest.approx(additions / len(x)))
        passes = T if layer in real and layer != stem else 1
        assert counts["mac"] == (passes * counts["ann_mac"] if layer in real else 0)
    assert block["ac"] > 0
    assert block["picojoule"] > 0
    assert block["ann_mac"] == one_input(net, x)


def one_input(net, images):
    """MACs of one sample, seen once, as PyTorch counts FLOPs: of SeqNet, which reads columns, all timesteps."""
    passes = 1 if type(net).__name__ == "SeqNet" else T
    x = images if passes == 1 else images.expand(T, *images.shape).contiguous()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(x)
    return counter.get_total_flops() / 2 / passes / len(images)
