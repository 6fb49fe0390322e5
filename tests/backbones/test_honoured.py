"""Options of the networks are honoured or refused, never ignored."""

import pytest
import torch
from torch import nn

from snnbench.backbones import ResNet, ResNet19
from snnbench.backbones.norms import BatchNorm
from snnbench.backbones.patches import ConvStage
from snnbench.errors import UserError
from snnbench.neurons import LIF
from snnbench.soundness import check_frames

SIZES = {"neuron": LIF, "norm": BatchNorm, "T": 1, "in_channels": 3, "num_classes": 4, "image_size": 16, "width": 8}


@pytest.mark.parametrize("variant", ResNet19.VARIANTS)
def test_every_resnet19_starts_its_convolutions_as_it_is_told(variant):
    def spread(conv_init):
        torch.manual_seed(3)
        net = ResNet19(**SIZES, variant=variant, conv_init=conv_init)
        return torch.cat([m.weight.flatten() for m in net.modules() if isinstance(m, nn.Conv2d)]).std()

    assert spread("fan_out") > 2 * spread("default")  # sqrt(2 / fan out) and sqrt(1 / (3 fan in))


@pytest.mark.parametrize("pool_first", [False, True])
def test_one_frame_stands_for_several_steps_wherever_the_pool_is(pool_first):
    torch.manual_seed(5)
    stage = ConvStage(2, 8, neuron=LIF, norm=BatchNorm, pools=True, pool_first=pool_first)
    frame = 3 * torch.randn(1, 4, 2, 7, 6)
    stage.eval()
    out = stage(frame, 3)
    assert out.shape == (3, 4, 8, 4, 3)
    assert out.any()
    assert torch.equal(out, stage(frame.repeat(3, 1, 1, 1, 1)))


def test_a_variant_that_changes_nothing_is_refused():
    with pytest.raises(UserError, match=r"backbone\.variant=sew: has no effect with backbone\.stem=cifar"):
        ResNet(**SIZES, blocks=(1, 1, 1, 1), stem="cifar", variant="sew")


@pytest.mark.parametrize("option", [{"step_offset": True}, {"attention": "fsta"}])
def test_fewer_frames_than_a_layer_learns_numbers_for_are_refused(option):
    config = {
        "T": 4,
        "data": {"train_frames": 2},
        "neuron": {"name": "lif"},
        "norm": {"name": "bn"},
        "backbone": {"name": "resnet20", **option},
    }
    with pytest.raises(UserError, match=r"data\.train_frames=2: backbone=resnet20 learns a number of each of 4"):
        check_frames(config)
    check_frames({**config, "data": {"train_frames": 4}})
    plain = {**config, "backbone": {"name": "resnet20", "attention": None}}
    check_frames(plain)
    with pytest.raises(UserError, match=r"data\.train_frames=2: norm=tab learns a number of each of 4"):
        check_frames({**plain, "norm": {"name": "tab", "T": 4}})
