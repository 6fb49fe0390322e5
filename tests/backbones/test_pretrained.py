"""Weights of torchvision's ResNets in a SEW-ResNet: as SpikingJelly's, which has torchvision's names, takes them."""

from functools import partial

import pytest
import torch
from omegaconf import OmegaConf
from spikingjelly.activation_based import functional as sj
from spikingjelly.activation_based import neuron as sj_neuron
from spikingjelly.activation_based.model import sew_resnet as sj_sew
from torchvision.models import resnet

from snnbench.backbones import ResNet, SEWResNet
from snnbench.backbones.norms import BatchNorm
from snnbench.errors import UserError
from snnbench.neurons import PLIF
from snnbench.training.initial import load_weights
from snnbench.weights import digest

SKIP = ["*.neuron"]
SHAPES = {"resnet18": [2, 2, 2, 2], "resnet34": [3, 4, 6, 3], "resnet50": [3, 4, 6, 3]}


def network(name: str, cls=SEWResNet, **options):
    sizes = {"in_channels": 3, "num_classes": 7, "image_size": 32, "blocks": SHAPES[name], "T": 2}
    neuron = partial(PLIF, v_th=0.3, engine="reference")
    return cls(neuron=neuron, norm=BatchNorm, bottleneck=name == "resnet50", **sizes, **options)


@pytest.fixture
def saved(tmp_path):
    def save(name: str, drop: str = "nothing"):
        torch.manual_seed(0)
        net = getattr(resnet, name)(num_classes=7)
        for norm in (m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.normal_(norm.bias, 0.1, 0.1)
        tensors = {key: value for key, value in net.state_dict().items() if drop not in key}
        torch.save(tensors, tmp_path / f"{name}.pth")
        return tmp_path / f"{name}.pth", tensors

    return save


def load(path, net, skip=SKIP):
    weights = {"path": str(path), "skip": skip, "digest": digest(path)[:8]}
    load_weights(OmegaConf.create({"weights": weights}), net)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_network_computes_what_spikingjellys_does_with_the_same_file(saved, name):
    path, tensors = saved(name, drop="num_batches")  # older files lack these
    theirs = getattr(sj_sew, f"sew_{name}")(
        cnf="ADD", spiking_neuron=sj_neuron.ParametricLIFNode, num_classes=7, v_threshold=0.3, detach_reset=True
    )
    sj.set_step_mode(theirs, "m")
    missing, unexpected = theirs.load_state_dict(tensors, strict=False)
    assert unexpected == []
    assert all(key.endswith((".w", "num_batches_tracked")) for key in missing)
    ours = network(name)
    load(path, ours)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = theirs.eval()(x.expand(2, *x.shape))
        torch.testing.assert_close(ours.eval()(x), expected)
        assert expected.std() > 0


def test_neurons_and_offsets_stay_as_they_are_initialised(saved):
    path, tensors = saved("resnet18")
    net = network("resnet18", step_offset=True)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    load(path, net, ["offset", *SKIP])
    same = {key for key, value in net.state_dict().items() if torch.equal(value, before[key])}
    own = {key for key in before if ".neuron." in key or key == "offset.weight"}
    assert same - {key for key in same if "num_batches" in key} == own
    assert len(before) - len(own) == len(tensors)


@pytest.mark.parametrize(
    ("file", "net", "skip", "message"),
    [
        ("resnet18", "resnet34", SKIP, r"does not fit this network: blocks\.\d+\..* \[\d+, .*and more"),
        ("resnet34", "resnet18", SKIP, r"does not fit this network: blocks\.\d+\."),
        ("resnet18", "resnet18", [], r"unit\.neuron\.w is not in the file"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(saved, file, net, skip, message):
    path, _ = saved(file)
    with pytest.raises(UserError, match=message):
        load(path, network(net), skip)


def test_other_networks_do_not_know_these_names(saved):
    path, _ = saved("resnet18")
    with pytest.raises(UserError, match=r"conv\.weight is not in the file"):
        load(path, network("resnet18", ResNet))


@pytest.mark.parametrize("beginning", ["00000000", "", "f"])
def test_another_file_than_the_row_names_is_refused(saved, beginning):
    path, _ = saved("resnet18")
    beginning = digest(path)[:1] if beginning == "f" else beginning
    weights = {"path": str(path), "skip": SKIP, "digest": beginning}
    with pytest.raises(UserError, match="is not the file that this run began with"):
        load_weights(OmegaConf.create({"weights": weights}), network("resnet18"))
