"""How the networks behave: shapes, static input, gradients, layouts, bad input. Reduced widths throughout."""

import copy

import pytest
import torch
from torch import nn

from snnbench.backbones.layers import Conv2d, SpikingUnit
from snnbench.errors import UserError

REDUCED = {
    "convnet": ({"image_size": 8, "in_channels": 1}, {"width": 4}),
    "resnet20": ({"image_size": 17}, {"width": 4}),
    "resnet19": ({"image_size": 9}, {"width": 6, "variant": "tdbn"}),
    "resnet19_fsta": ({"image_size": 9}, {"width": 6, "variant": "fsta"}),
    "resnet19_sakd": ({"image_size": 9}, {"width": 6, "variant": "sakd"}),
    "resnet19_braincog": ({"image_size": 9}, {"width": 6, "variant": "braincog", "balanced": True}),
    "resnet18": ({"image_size": 35}, {"width": 4}),
    "resnet18_cifar": ({"image_size": 9}, {"width": 4}),
    "resnet34": ({"image_size": 32}, {"width": 4}),
    "sew_resnet18": ({"image_size": 35}, {"width": 4}),
    "sew_resnet34": ({"image_size": 32}, {"width": 4}),
    "sew_resnet19": ({"image_size": 9}, {"width": 6}),
    "sew_resnet50": ({"image_size": 33}, {"width": 4}),
    "sew_7b": ({"image_size": [16, 9], "in_channels": 2}, {"width": 4, "pool_after": [2, 4, 7]}),
    "sew_7bwide": ({"image_size": 9, "in_channels": 2}, {"width": 4, "pool_after": [4, 5, 7], "pool": "avg"}),
    "spiking_resnet18": ({"image_size": 35}, {"width": 4, "zero_init_last": False}),
    "spiking_resnet50": ({"image_size": 33}, {"width": 4, "zero_init_last": False}),
    "ms_resnet18_glif": ({"image_size": 35}, {"width": 4}),
    "nf_resnet34": ({"image_size": 35}, {"width": 4, "blocks": [1, 1, 2, 1], "zero_init_last": False}),
    "resnet18_preact": ({"image_size": [11, 9]}, {"width": 4}),
    "vgg11": ({"image_size": 32, "in_channels": 2}, {"width": 4}),
    "vgg13": ({"image_size": 32}, {"width": 4}),
    "vgg16": ({"image_size": 32}, {"width": 4}),
    "vggsnn": ({"image_size": [16, 33], "in_channels": 2}, {"width": 4}),
    "spikformer": ({"image_size": [9, 12]}, {"width": 16, "depth": 1, "heads": 4}),
    "spikformer_dvs": ({"image_size": 18, "in_channels": 2}, {"width": 16, "depth": 1, "heads": 4}),
    "spikingformer": ({"image_size": [9, 12]}, {"width": 16, "depth": 2, "heads": 4}),
    "sdt": ({"image_size": [9, 12]}, {"width": 16, "depth": 2, "heads": 4}),
    "sdt_dilated": ({"image_size": [9, 12]}, {"width": 16, "depth": 2, "heads": 4, "dilate": True}),
    "qkformer": ({"image_size": [9, 12]}, {"width": 16, "depth": 1, "heads": 4}),
    "qkformer_dvs": ({"image_size": 18, "in_channels": 2}, {"width": 32, "depth": 1, "heads": 4}),
    "plifnet_mnist": ({"image_size": 9, "in_channels": 1}, {"width": 6, "hidden": 24}),
    "plifnet_cifar10": ({"image_size": 9}, {"width": 6, "hidden": 24}),
    "plifnet_nmnist": ({"image_size": [9, 8], "in_channels": 2}, {"width": 6, "hidden": 24}),
    "plifnet_cifar10dvs": ({"image_size": 16, "in_channels": 2}, {"width": 6, "hidden": 24}),
    "plifnet_dvs128gesture": ({"image_size": 32, "in_channels": 2}, {"width": 6, "hidden": 24}),
    "ltmdnet": ({"image_size": 12, "in_channels": 1}, {"stages": [1, 1], "width": 8, "hidden": 24}),
    "densenet": ({"image_size": [9, 10]}, {"blocks": [2, 1], "growth": 3, "stem": 6, "hidden": 24}),
    "densenet_pooled": (
        {"image_size": 17, "in_channels": 2},
        {"blocks": [1, 2], "growth": 3, "stem": 6, "hidden": 24, "pool_first": True},
    ),
}
NAMES = list(REDUCED)
SOME = [
    *("convnet", "resnet20", "resnet18_preact", "sew_resnet18", "sew_7b", "vgg11", "plifnet_mnist", "sdt_dilated"),
    "qkformer",
]
B, CLASSES = 5, 7


def reduced(build, name, seed=0, **options):
    """A small network in float64 (no spike flips by rounding), without dropout, and a batch of images for it."""
    data, sizes = REDUCED[name]
    variants = dict.fromkeys(("resnet19_fsta", "resnet19_sakd", "resnet19_braincog"), "resnet19")
    config = {**variants, "sdt_dilated": "sdt"}.get(name, name).removesuffix("_pooled")
    sizes = {**sizes, **(dict.fromkeys(("dropout", "hidden_dropout"), 0.0) if name.startswith("plif") else {})}
    sizes |= {"moderate_dropout": 0.0} if config in ("ltmdnet", "densenet") else {}
    torch.manual_seed(seed)
    net = build(config, num_classes=CLASSES, **{"in_channels": 3, **data, **sizes, **options}).double()
    for layer in net.head.modules() if config in ("ltmdnet", "densenet") else ():
        if isinstance(layer, nn.Linear):
            layer.weight.data *= 12  # so that neurons whose outputs are the logits do not stay silent
    return net, torch.randn(B, net.in_channels, *net.image_size, dtype=torch.float64) * 2


@pytest.mark.parametrize("T", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_shape_in_both_modes(build, name, T):
    net, x = reduced(build, name, T=T)
    trained = net(x)
    assert trained.shape == (T, B, CLASSES)
    assert trained.isfinite().all()
    assert T == 1 or trained.std() > 0
    net.eval()
    frames = torch.randn(T, *x.shape, dtype=x.dtype)
    with torch.no_grad():
        assert net(frames).shape == (T, B, CLASSES)
        assert torch.equal(net(frames), net(frames)), "evaluation depends on hidden state"
        assert torch.allclose(net(frames[:, 1:2]), net(frames)[:, 1:2]), "samples influence each other in evaluation"


@pytest.mark.parametrize("norm", ["bn", "bn_per_step", "tdbn"])
@pytest.mark.parametrize("name", SOME)
def test_static_input_equals_repeated_frames(build, name, norm):
    net, x = reduced(build, name, T=3, norm=norm)
    other = copy.deepcopy(net)
    weights = torch.randn(3, B, CLASSES, dtype=x.dtype)
    static, repeated = net(x), other(x.repeat(3, 1, 1, 1, 1))
    torch.testing.assert_close(static, repeated)
    (static * weights).sum().backward()
    (repeated * weights).sum().backward()
    for (key, p), q in zip(net.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, msg=lambda m, key=key: f"{key}: {m}")
    for key, value in net.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[key], msg=lambda m, key=key: f"{key}: {m}")
    net.eval()
    other.eval()
    torch.testing.assert_close(net(x), other(x.repeat(3, 1, 1, 1, 1)))


@pytest.mark.parametrize("expanded", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_static_stem_runs_once(build, name, expanded):
    net, x = reduced(build, name, T=3)
    seen = {}
    for key, module in net.named_modules():
        if isinstance(module, Conv2d | SpikingUnit):
            module.register_forward_hook(lambda m, args, out, key=key: seen.setdefault(key, []).append(args[0].shape))
    net(x.expand(3, *x.shape) if expanded else x)
    convs = [key for key in seen if isinstance(net.get_submodule(key), Conv2d)]
    assert [shape[:2] for shape in seen[convs[0]]] == [(1, B)]
    assert all(shapes[0][0] == 3 and len(shapes) == 1 for key, shapes in seen.items() if key in convs[1:])
    units = [shapes[0][0] for key, shapes in seen.items() if key not in convs]
    if units:  # a network without norms has none
        assert units[0] == 1
        assert set(units[1:]) == {3}


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(build, name):
    net, x = reduced(build, name)
    frames = torch.stack([x, x.flip(0)])
    target = torch.arange(B) % CLASSES
    nn.functional.cross_entropy(net(frames).mean(0), target).backward()
    before_norm = {f"{key}.bias" for key, module in net.named_modules() if type(module) is Conv2d}
    before_norm |= {"layers.2.bn.bias"} if name.startswith("densenet") else set()  # behind a convolution and a pool
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        if key in before_norm:
            assert parameter.grad.abs().max() < 1e-12, f"{key}: the norm after it should cancel this bias"
        else:
            assert parameter.grad.abs().max() > 1e-9, f"{key} gets no gradient"


@pytest.mark.parametrize("name", ["resnet20", "resnet19", "sew_resnet18", "resnet18", "sew_7b"])
def test_zero_init_last_silences_each_branch(build, name):
    net, x = reduced(build, name, zero_init_last=True)
    blocks = [m for m in net.modules() if hasattr(m, "unit2")]
    outputs = []
    for block in blocks:
        block.unit2.norm.register_forward_hook(lambda m, args, out: outputs.append(out))
    net(x).square().sum().backward()
    assert len(outputs) == len(blocks) > 0
    assert all(torch.count_nonzero(out) == 0 for out in outputs)
    assert all(torch.count_nonzero(block.conv1.weight.grad) == 0 for block in blocks)


@pytest.mark.parametrize("name", SOME)
def test_channels_last_gives_the_same(build, name):
    net, x = reduced(build, name, T=2)
    frames = torch.stack([x, x.flip(0)])
    last = frames.flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, (2, B))
    other = copy.deepcopy(net).to(memory_format=torch.channels_last)
    torch.testing.assert_close(net(frames), other(last))
    torch.testing.assert_close(net(x), other(x.to(memory_format=torch.channels_last)))


def test_batch_first_frames_may_be_transposed(build):
    net, x = reduced(build, "convnet", T=2)
    batch_first = torch.stack([x, x.flip(0)], dim=1)
    frames = batch_first.transpose(0, 1)
    assert not frames.is_contiguous()
    torch.testing.assert_close(net(frames), net(frames.contiguous()))


@pytest.mark.parametrize(
    ("shape", "message"),
    [((2, 5, 1, 8, 9), "8, 9"), ((5, 3, 8, 8), "5, 3"), ((3, 5, 1, 8, 8), "3, 5"), ((1, 8, 8), "1, 8, 8")],
)
def test_wrong_input_is_refused(build, shape, message):
    net, _ = reduced(build, "convnet", T=2)
    with pytest.raises(ValueError, match=rf"ConvNet was built for \[2, B, 1, 8, 8\].*{message}"):
        net(torch.zeros(shape, dtype=torch.float64))


@pytest.mark.parametrize(
    ("name", "smallest"),
    [
        ("convnet", 2),
        ("resnet20", 16),
        ("resnet19", 4),
        ("resnet18", 32),
        ("sew_resnet34", 32),
        ("sew_7b", 8),
        ("resnet18_preact", 8),
        ("vgg16", 32),
        ("vggsnn", 16),
        ("spikformer", 4),
        ("sdt", 4),
        ("qkformer_dvs", 16),
        ("plifnet_mnist", 4),
        ("plifnet_dvs128gesture", 32),
        ("densenet", 4),
        ("densenet_pooled", 8),
    ],
)
def test_smallest_image(build, name, smallest):
    _, sizes = REDUCED[name]
    name = name.removesuffix("_pooled")
    net = build(name, image_size=smallest, **sizes).eval()
    assert net(torch.randn(3, 3, smallest, smallest)).shape == (2, 3, 10)
    with pytest.raises(UserError, match=rf"(?s)backbone.image_size=40x{smallest - 1} .*data.image_size"):
        build(name, image_size=[40, smallest - 1], **sizes)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("resnet20", {"width": 0}, r"backbone.width=0"),
        ("resnet20", {"width": 4.0}, r"backbone.width=4.0: must be a whole number"),
        ("resnet20", {"width": True}, r"backbone.width=true"),
        ("resnet20", {"blocks": [2, 2]}, r"backbone.blocks=\[2, 2\]: must be a list .* of length 4"),
        ("resnet20", {"blocks": [2, 2, 2, 1.5]}, r"backbone.blocks=\[2, 2, 2, 1.5\]"),
        ("resnet18", {"stem": "small"}, r"backbone.stem='small'.*imagenet, cifar"),
        ("resnet18", {"blocks": 2}, r"backbone.blocks=2: must be a list"),
        ("resnet19", {"variant": "TDBN"}, r"backbone.variant='TDBN'.*tdbn, fsta"),
        ("resnet19", {"conv_init": "kaiming"}, r"backbone.conv_init='kaiming'.*fan_out, default"),
        ("resnet18", {"conv_init": "fan_in"}, r"backbone.conv_init='fan_in'.*fan_out, default"),
        ("resnet19", {"output_neuron": 1}, r"backbone.output_neuron=1: must be true or false"),
        ("resnet20", {"attention": "fst"}, r"backbone.attention='fst': unknown. Did you mean 'fsta'"),
        ("resnet20", {"zero_init_last": 1}, r"backbone.zero_init_last=1: must be true or false"),
        ("sew_resnet18", {"zero_init_last": "yes"}, r"backbone.zero_init_last='yes'"),
        ("sew_resnet18", {"pool": "mean"}, r"backbone.pool='mean'.*avg, max"),
        ("sew_resnet18", {"step_offset": 1}, r"backbone.step_offset=1: must be true or false"),
        ("sew_resnet50", {"bottleneck": 1}, r"backbone.bottleneck=1: must be true or false"),
        ("spiking_resnet18", {"variant": "tdbn"}, r"backbone.variant='tdbn'.*fsta, sew"),
        ("sew_7b", {"connect": "xor", "image_size": 128}, r"backbone.connect='xor'.*add, and, iand"),
        ("sew_7b", {"pool_after": [8]}, r"backbone.pool_after=\[8\].*from 1 to 7"),
        ("sew_7b", {"multipliers": []}, r"backbone.multipliers=\[\]"),
        ("sew_resnet18", {"connect": "addd"}, r"backbone.connect='addd'.*Did you mean 'add'"),
        ("vgg11", {"layout": ["M", 1]}, r"backbone.layout=\['M', 1\]: must be a list that starts with a convolution"),
        ("vgg11", {"layout": [1, "P"]}, r"backbone.layout='P': must be a whole number of at least 1, or M"),
        ("vgg11", {"layout": 3}, r"backbone.layout=3: must be a list"),
        ("vgg11", {"grid": 0}, r"backbone.grid=0"),
        ("vgg11", {"init_std": 0.0}, r"backbone.init_std=0.0: must be a number in \(0, inf\), or null"),
        ("vggsnn", {"amplitude": 0}, r"backbone.amplitude=0"),
        ("vggsnn", {"head_bias": 1}, r"backbone.head_bias=1: must be true or false"),
        ("vggsnn", {"dropout": 1.0}, r"backbone.dropout=1.0: must be a number in \[0, 1\)"),
        ("vgg11", {"dropout": float("nan")}, r"backbone.dropout=nan"),
        ("resnet18_preact", {"dropout": -0.1}, r"backbone.dropout=-0.1"),
        ("convnet", {"pool_after": [4]}, r"backbone.pool_after=\[4\].*from 1 to 3"),
        ("convnet", {"grid": 0}, r"backbone.grid=0"),
        ("convnet", {"pool": "mean"}, r"backbone.pool='mean'.*avg, max"),
        ("convnet", {"multipliers": []}, r"backbone.multipliers=\[\]"),
        ("convnet", {"multipliers": [0.5]}, r"backbone.multipliers=\[0.5\]"),
        ("spikformer", {"variant": "spikeformer"}, r"backbone.variant='spikeformer'.*Did you mean 'spikformer'"),
        ("spikformer", {"heads": 5}, r"backbone.heads=5: must divide 384"),
        ("spikformer", {"width": 12, "heads": 4}, r"backbone.width=12: must be a multiple of 8"),
        ("spikformer", {"pools": [True]}, r"backbone.pools=\[True\]: must be a list .* of length 4"),
        ("spikformer", {"pools": [1, 0, 0, 0]}, r"backbone.pools=1: must be true or false"),
        ("spikformer", {"scale": 0}, r"backbone.scale=0"),
        ("spikformer", {"scale": None}, r"backbone.scale=null"),
        ("spikformer", {"attention_v_th": 0}, r"backbone.attention_v_th=0: .*null"),
        ("spikformer", {"mlp_ratio": 0.5}, r"backbone.mlp_ratio=0.5"),
        ("spikformer", {"depth": 0}, r"backbone.depth=0"),
        ("spikformer", {"dilate": True}, r"backbone.dilate=true: has no effect"),
        ("sdt", {"scale": 0.125}, r"backbone.scale=0.125: must be null"),
        ("qkformer_dvs", {"width": 24, "heads": 1}, r"backbone.width=24: must be a multiple of 16"),
        ("qkformer", {"heads": 64}, r"backbone.heads=64: must divide 96"),
        ("plifnet_mnist", {"stages": [0]}, r"backbone.stages=\[0\]"),
        ("plifnet_mnist", {"voters": 0}, r"backbone.voters=0"),
        ("plifnet_mnist", {"hidden": 2.5}, r"backbone.hidden=2.5"),
        ("plifnet_mnist", {"hidden_dropout": 1}, r"backbone.hidden_dropout=1"),
        ("convnet", {"image_size": "big"}, r"backbone.image_size='big'"),
        ("convnet", {"image_size": [8, 8, 8]}, r"backbone.image_size=\[8, 8, 8\]: .* of length 2. .*data.image_size"),
        ("convnet", {"image_size": 0}, r"backbone.image_size=0: .*data.image_size"),
        ("convnet", {"num_classes": 0}, r"backbone.num_classes=0"),
        ("seqnet", {"num_classes": 2.0}, r"backbone.num_classes=2.0"),
        ("convnet", {"in_channels": 0}, r"backbone.in_channels=0"),
        ("convnet", {"T": 0}, r"backbone.T=0"),
        ("resnet18_glif", {"T": 1.5}, r"backbone.T=1.5"),
    ],
)
def test_bad_sizes_name_the_key(build, name, overrides, message):
    with pytest.raises(UserError, match=message):
        build(name, **{"image_size": 64, **overrides})


@pytest.mark.parametrize("name", ["sew_resnet50", "spiking_resnet50"])
def test_zero_init_last_silences_the_last_norm_of_each_bottleneck(build, name):
    net, x = reduced(build, name, zero_init_last=True)
    outputs = []
    for unit in (m.unit3 for m in net.modules() if hasattr(m, "unit3")):
        unit.norm.register_forward_hook(lambda m, args, out: outputs.append(out))
    net(x)
    assert len(outputs) == 16
    assert all(torch.count_nonzero(out) == 0 for out in outputs)


def test_training_may_see_fewer_frames_and_evaluation_may_not(build):
    net, x = reduced(build, "sew_7b", T=3)
    assert net(torch.stack([x, x])).shape == (2, B, CLASSES)
    for frames in (x.new_empty(0, *x.shape), torch.stack([x] * 4)):
        with pytest.raises(ValueError, match="built for"):
            net(frames)
    with pytest.raises(ValueError, match="built for"):
        net.eval()(torch.stack([x, x]))


def test_a_learnt_offset_tells_the_timesteps_of_a_still_image_apart(build):
    net, x = reduced(build, "sew_resnet18", T=3, step_offset=True)
    assert net.offset.weight.shape == (3, 1, 1, 1, 1)
    assert 0 < net.offset.weight.abs().max() <= 0.04
    seen = []
    net.conv.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    logits = net(x)
    assert torch.equal(seen[0], x + net.offset.weight)
    logits[2].sum().backward()
    assert torch.count_nonzero(net.offset.weight.grad) == 3, "the membrane remembers the frames before"


@pytest.mark.parametrize("connect", ["add", "and", "iand"])
def test_sew_connections_on_spikes(build, connect):
    net, x = reduced(build, "sew_resnet18", connect=connect)
    block, seen = net.blocks[0], {}
    block.register_forward_hook(lambda m, args, out: seen.update(identity=args[0], out=out))
    block.unit2.register_forward_hook(lambda m, args, out: seen.update(branch=out))
    net(x)
    branch, identity = seen["branch"].bool(), seen["identity"].bool()
    assert branch.any()
    assert identity.any()
    expected = {
        "add": branch.double() + identity.double(),
        "and": (branch & identity).double(),
        "iand": (~branch & identity).double(),
    }
    assert torch.equal(seen["out"], expected[connect])


def test_a_head_with_moderate_dropout_makes_two_passes_in_training(build):
    net, x = reduced(build, "densenet", moderate_dropout=0.3)
    calls = []
    net.conv.register_forward_hook(lambda m, args, out: calls.append(out.shape[1]))
    first, second = net(x).split(B, 1)
    assert calls == [B], "what comes before the dropout runs once"
    assert first.shape == second.shape == (2, B, CLASSES)
    assert not torch.equal(first, second)
    assert net.eval()(x).shape == (2, B, CLASSES)
