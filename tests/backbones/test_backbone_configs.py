"""The config files: nothing hidden in code, and each data set's default fits its images."""

import inspect
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import OmegaConf

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted([*CONFIGS.glob("backbone/*.yaml"), *CONFIGS.glob("norm/*.yaml")])
DATA = {
    "digits": (1, 10, 8, "convnet"),
    "mnist": (1, 10, 28, "convnet"),
    "fashion_mnist": (1, 10, 28, "convnet"),
    "cifar10": (3, 10, 32, "resnet20"),
    "cifar100": (3, 100, 32, "resnet20"),
    "tiny_imagenet": (3, 200, 64, "vgg13"),
    "imagenet": (3, 1000, 224, "resnet18"),
    "nmnist": (2, 10, 34, "convnet"),
    "cifar10dvs": (2, 10, 48, "vggsnn"),
    "dvs128gesture": (2, 11, 128, "vgg11"),
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_argument_is_in_the_config(path):
    cfg = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    assert next(iter(cfg)) == "name"
    assert cfg["name"] == path.stem
    assert path.read_text().startswith("# ")
    from_network = {"neuron", "norm", "channels", "gain"}
    arguments = set(inspect.signature(get_class(cfg["_target_"])).parameters) - from_network
    assert set(cfg) - {"name", "_target_", "_partial_"} == arguments


@pytest.mark.parametrize("data", DATA)
def test_default_backbone_of_each_data_set(build, data):
    channels, classes, size, name = DATA[data]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = compose(overrides=[f"+backbone=default/{data}"])
    assert cfg.backbone.name == name
    tweaks = {k: cfg.backbone[k] for k in cfg.backbone if k not in ("name", "_target_", "T", *_interpolated(cfg))}
    net = build(name, in_channels=channels, num_classes=classes, image_size=size, T=1, **tweaks).eval()
    with torch.no_grad():
        assert net(torch.randn(1, channels, size, size)).shape == (1, 1, classes)


def _interpolated(cfg):
    return [key for key in cfg.backbone if OmegaConf.is_interpolation(cfg.backbone, key)]


def test_every_data_set_has_a_default():
    assert {path.stem for path in CONFIGS.glob("backbone/default/*.yaml")} == set(DATA)
