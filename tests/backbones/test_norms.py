"""The norms against PyTorch's, one frame at a time or by formula."""

import copy
import math

import pytest
import torch
from torch import nn

from snnbench.backbones.norms import BatchNorm, BatchNormPerStep, TDBatchNorm
from snnbench.errors import UserError

SHAPES = [(1, 3, 2, 5, 7), (3, 5, 4, 1, 3), (4, 2, 3, 6, 6), (3, 7, 5), (1, 4, 2)]


def sample(shape, seed=0):
    torch.manual_seed(seed)
    scale = torch.linspace(0.5, 3, shape[2]).view(-1, *[1] * (len(shape) - 3))
    return (torch.randn(shape) * scale + scale).double().requires_grad_()


def randomised(norm):
    """A norm in float64 whose affine part and running statistics are not trivial."""
    norm = norm.double()
    with torch.no_grad():
        norm.bn.weight.uniform_(0.5, 2)
        norm.bn.bias.normal_()
        norm.bn.running_mean.normal_()
        norm.bn.running_var.uniform_(0.5, 2)
    return norm


def spatial(x):
    return x if x.dim() == 5 else x[..., None, None]


@pytest.mark.parametrize("shape", SHAPES)
def test_bn_is_batchnorm3d_over_time(shape):
    x, norm = sample(shape), randomised(BatchNorm(shape[2], momentum=0.3))
    reference = nn.BatchNorm3d(shape[2], momentum=0.3).double()
    reference.load_state_dict(norm.bn.state_dict())
    for _ in range(2):
        expected = reference(spatial(x).permute(1, 2, 0, 3, 4)).permute(2, 0, 1, 3, 4).reshape(shape)
        torch.testing.assert_close(norm(x), expected)
    weights = torch.randn_like(x)
    (actual_grad,) = torch.autograd.grad((norm(x) * weights).sum(), x)
    (expected_grad,) = torch.autograd.grad(
        (reference(spatial(x).permute(1, 2, 0, 3, 4)).permute(2, 0, 1, 3, 4).reshape(shape) * weights).sum(), x
    )
    torch.testing.assert_close(actual_grad, expected_grad)
    for key, value in reference.state_dict().items():
        torch.testing.assert_close(norm.bn.state_dict()[key], value)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_per_step_is_a_loop_of_batchnorm2d(shape, training):
    x, norm = sample(shape), randomised(BatchNormPerStep(shape[2], momentum=0.3)).train(training)
    reference = nn.BatchNorm2d(shape[2], momentum=0.3).double().train(training)
    reference.load_state_dict(norm.bn.state_dict())
    weights = torch.randn_like(x)
    actual = norm(x)
    expected = torch.stack([reference(frame) for frame in spatial(x)]).reshape(shape)
    torch.testing.assert_close(actual, expected)
    grads = [
        torch.autograd.grad((y * weights).sum(), [x, module.weight, module.bias])
        for y, module in ((actual, norm.bn), (expected, reference))
    ]
    torch.testing.assert_close(*grads)
    for key, value in reference.state_dict().items():
        torch.testing.assert_close(norm.bn.state_dict()[key], value)


def test_per_step_differs_from_joint():
    x = sample((3, 4, 2, 5, 5)) * torch.tensor([1.0, 2.0, 5.0]).view(3, 1, 1, 1, 1)
    assert not torch.allclose(BatchNorm(2).double()(x), BatchNormPerStep(2).double()(x), atol=0.1)


@pytest.mark.parametrize("shape", SHAPES)
def test_tdbn_formula(shape):
    alpha, v_th = 1 / math.sqrt(2), 0.6
    x, norm = sample(shape), randomised(TDBatchNorm(shape[2], alpha=alpha, v_th=v_th, eps=1e-3))
    dims = [d for d in range(len(shape)) if d != 2]
    affine = [p.detach().view(-1, *[1] * (len(shape) - 3)) for p in (norm.bn.weight, norm.bn.bias)]
    mean = x.mean(dims, keepdim=True)
    var = (x - mean).square().mean(dims, keepdim=True)
    expected = affine[0] * (alpha * v_th * (x - mean) / (var + 1e-3).sqrt()) + affine[1]
    old_mean, old_var = norm.bn.running_mean.clone(), norm.bn.running_var.clone()
    torch.testing.assert_close(norm(x), expected)
    n = x.numel() // shape[2]
    torch.testing.assert_close(norm.bn.running_mean, 0.9 * old_mean + 0.1 * mean.flatten())
    torch.testing.assert_close(norm.bn.running_var, 0.9 * old_var + 0.1 * var.flatten() * n / (n - 1))
    norm.eval()
    mean, var = (b.view(-1, *[1] * (len(shape) - 3)) for b in (norm.bn.running_mean, norm.bn.running_var))
    torch.testing.assert_close(norm(x), affine[0] * (alpha * v_th * (x - mean) / (var + 1e-3).sqrt()) + affine[1])


def test_tdbn_gradient_of_the_weight_carries_the_scale():
    x, norm = sample((2, 3, 2, 4, 4)), TDBatchNorm(2, alpha=0.5, v_th=0.5).double()
    y = norm(x)
    weights = torch.randn_like(y)
    (y * weights).sum().backward()
    expected = (weights * (y.detach() - norm.bn.bias.detach().view(2, 1, 1))).sum((0, 1, 3, 4))
    torch.testing.assert_close(norm.bn.weight.grad, expected)


@pytest.mark.parametrize("norm_class", [BatchNorm, BatchNormPerStep, TDBatchNorm])
def test_gain_multiplies_beside_the_weight(norm_class):
    x = sample((2, 3, 2, 4, 4))
    plain, gained = norm_class(2).double(), norm_class(2, gain=0.3).double()
    nn.init.constant_(gained.bn.bias, 0.5)
    y = gained(x)
    torch.testing.assert_close(y, 0.3 * plain(x) + 0.5)
    y.square().sum().backward()
    torch.testing.assert_close(gained.bn.weight.grad, (2 * y * (y - 0.5)).sum((0, 1, 3, 4)).detach())
    torch.testing.assert_close(gained.eval()(x), 0.3 * plain.eval()(x) + 0.5)
    with pytest.raises(ValueError, match="gain=0"):
        norm_class(2, gain=0.0)


@pytest.mark.parametrize("norm_class", [BatchNorm, BatchNormPerStep, TDBatchNorm])
def test_a_repeated_frame_may_count_once(norm_class):
    x = sample((1, 3, 2, 4, 4))
    once, single = norm_class(2, count_repeats=False).double(), norm_class(2).double()
    torch.testing.assert_close(once(x, repeats=5), single(x))
    assert all(torch.equal(a, b) for a, b in zip(once.buffers(), single.buffers(), strict=True))
    frames = sample((3, 3, 2, 4, 4))
    torch.testing.assert_close(once(frames), single(frames))


@pytest.mark.parametrize("repeats", [2, 5])
@pytest.mark.parametrize("norm_class", [BatchNorm, BatchNormPerStep, TDBatchNorm])
@pytest.mark.parametrize("shape", [(1, 3, 4, 2, 3), (1, 6, 3)])
def test_one_frame_stands_for_its_repetitions(norm_class, shape, repeats):
    x, norm = sample(shape), randomised(norm_class(shape[2], momentum=0.2))
    other, weights = copy.deepcopy(norm), torch.randn(repeats, *shape[1:], dtype=torch.float64)
    grads = []
    for module, y in (
        (norm, norm(x, repeats).expand(repeats, *shape[1:])),
        (other, other(x.repeat_interleave(repeats, 0))),
    ):
        grads.append(torch.autograd.grad((y * weights).sum(), [x, module.bn.weight, module.bn.bias], retain_graph=True))
        grads[-1] = (y.detach(), *grads[-1])
    torch.testing.assert_close(*grads)
    for key, value in other.state_dict().items():
        torch.testing.assert_close(norm.state_dict()[key], value)
    assert norm.bn.momentum == 0.2


@pytest.mark.parametrize("norm_class", [BatchNorm, BatchNormPerStep, TDBatchNorm])
def test_channels_last_frames_stay_so(norm_class):
    x = torch.randn(6, 4, 5, 3).to(memory_format=torch.channels_last).unflatten(0, (2, 3))
    y = norm_class(4)(x)
    assert y.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, norm_class(4)(x.contiguous()))


@pytest.mark.parametrize("norm_class", [BatchNorm, BatchNormPerStep, TDBatchNorm])
def test_sync_batchnorm_conversion_finds_the_statistics(norm_class):
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(norm_class(4)))
    assert isinstance(converted[0].bn, nn.SyncBatchNorm)
    x = torch.randn(2, 3, 4, 5, 5)
    torch.testing.assert_close(converted.eval()(x), norm_class(4).eval()(x))


def test_tdbn_in_its_weight_starts_alike_and_learns_the_scale_itself():
    x, given = sample((2, 3, 2, 4, 4)), {"alpha": 0.7, "v_th": 0.5, "gain": 0.8}
    beside, within = (TDBatchNorm(2, **given, in_weight=flag).double() for flag in (False, True))
    torch.testing.assert_close(within(x), beside(x))
    torch.testing.assert_close(within.bn.weight.data, torch.full((2,), 0.28, dtype=torch.float64))
    (beside(x).pow(2).sum() + within(x).pow(2).sum()).backward()
    torch.testing.assert_close(0.28 * within.bn.weight.grad, beside.bn.weight.grad)
    beside.eval(), within.eval()
    torch.testing.assert_close(within(x), beside(x))


def test_bad_input_is_refused():
    with pytest.raises(UserError, match=r"norm.momentum=0"):
        BatchNorm(3, momentum=0)
    with pytest.raises(UserError, match=r"norm.eps=-1"):
        BatchNormPerStep(3, eps=-1.0)
    with pytest.raises(UserError, match=r"norm.momentum=1.5: must be a number in \(0, 1\]"):
        BatchNorm(3, momentum=1.5)
    with pytest.raises(UserError, match=r"norm.eps=nan"):
        BatchNorm(3, eps=float("nan"))
    with pytest.raises(UserError, match=r"norm.v_th=0"):
        TDBatchNorm(3, v_th=0.0)
    with pytest.raises(UserError, match=r"norm.alpha=-1"):
        TDBatchNorm(3, alpha=-1.0, v_th=1.0)
    with pytest.raises(UserError, match=r"norm.in_weight=1: must be true or false"):
        TDBatchNorm(3, in_weight=1)
    with pytest.raises(ValueError, match=r"\[T, B, C, H, W\] or \[T, B, C\]"):
        BatchNorm(3)(torch.zeros(2, 3, 4, 4))
    with pytest.raises(ValueError, match="single frame"):
        BatchNorm(3)(torch.zeros(2, 2, 3, 4, 4), repeats=2)
