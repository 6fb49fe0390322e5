"""Every file under configs/ composes and builds; every neuron trains in every backbone."""

import functools

import hydra
import pytest
import torch
from omegaconf import DictConfig

from snnbench import config
from snnbench.neurons.base import spiking_layers
from snnbench.training import build
from tests.conftest import CONFIGS

OWN_TESTS = {
    "experiment",
    "augment",
    "sweep",
    "bench",
    "deployed",
}  # walked by tests of their own, with the data that they need


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def fitting(option: str) -> bool:
    """False for the default backbone of a data set that has no config."""
    group, _, name = option.partition("=")
    return group != "backbone/default" or (CONFIGS / "data" / f"{name}.yaml").exists()


def every_option() -> list[str]:
    files = sorted(CONFIGS.glob("*/**/*.yaml"))
    groups = {path: path.relative_to(CONFIGS).parent for path in files}
    return [f"{group}={path.stem}" for path, group in groups.items() if group.parts[0] not in OWN_TESTS]


@functools.cache
def compose(*overrides: str) -> DictConfig:
    config.register_schema()
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = hydra.compose("train", [*overrides, "paths.output_dir=out"])
    config.check(cfg)
    return cfg


def fitting_data(option: str) -> list[str]:
    """The data set for which a backbone or recipe is meant; digits where any will do."""
    group, _, name = option.partition("=")
    if group == "schedule":
        return [option, "epochs=100"]  # room for warm-up and cool-down
    if option == "neuron=relu":
        return [option, "T=1"]
    if group == "backbone/default":
        return [f"data={name}", f"backbone=default/{name}"]
    if group == "backbone":
        sized = ["data=cifar10dvs", "data.image_size=128"] if name.startswith("sew_7b") else ["data=cifar10"]
        return [option, *(["data=digits"] if name == "convnet" else sized)]
    return [option]


@pytest.fixture
def undrawn(monkeypatch):
    """First weights are others' matter, and those of deep networks take seconds."""
    for name in ("kaiming_uniform_", "kaiming_normal_", "trunc_normal_", "normal_", "uniform_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("option", every_option())
def test_every_option_composes_and_builds(option):
    cfg = compose(*fitting_data(option))
    names = [name for name in ("data", "neuron", "backbone", "norm", "loss", "optimizer") if not cfg[name].get("name")]
    assert names == []
    network = build.make(cfg, "backbone", neuron=build.make(cfg, "neuron"), norm=build.make(cfg, "norm"))
    assert sum(p.numel() for p in network.parameters()) > 1000
    optimizer = build.build_optimizer(cfg)(torch.nn.Linear(2, 2))
    first = build.make(cfg, "schedule")(optimizer).get_last_lr()[0]
    assert first == pytest.approx(cfg.schedule.warmup_lr if cfg.schedule.get("warmup") else cfg.optimizer.lr)
    if cfg.loss.name != "im":  # which wants residual blocks: training/test_im_loss.py
        assert torch.isfinite(build.build_loss(cfg, network)(torch.randn(2, 3, 5), torch.tensor([0, 1, 4])))


def pairs() -> list:
    """Every neuron with every backbone; by default each neuron with two, and each backbone but the deepest with one."""
    found = []
    for backbone in options("backbone"):
        for neuron in options("neuron"):
            fast = backbone in ("convnet", "resnet20") or (neuron == "dalif" and not backbone.endswith(("101", "152")))
            found.append(pytest.param(neuron, backbone, marks=[] if fast else pytest.mark.slow))
    return found


@pytest.mark.parametrize(("neuron", "backbone"), pairs())
def test_every_neuron_trains_in_every_backbone(neuron, backbone):
    """One step at T=3: a finite gradient in every parameter, and not all zero in any weight or neuron coefficient."""
    T = 1 if neuron == "relu" else 3
    size = 128 if backbone.startswith("sew_7b") else 32
    cfg = compose(f"backbone={backbone}", "data=cifar10", f"data.image_size={size}", f"T={T}", "loss=tet").copy()
    cfg.neuron = compose(f"neuron={neuron}", f"T={T}").neuron
    if neuron != "relu":
        cfg.neuron.update(surrogate={"name": "atan", "alpha": 1.0}, engine="reference")
    cfg.backbone.update({"growth": 4, "stem": 8} if "growth" in cfg.backbone else {"width": 8})
    if "heads" in cfg.backbone:
        cfg.backbone.update(width=16, heads=2)
    if "attention_v_th" in cfg.backbone and neuron == "relu":
        cfg.backbone.attention_v_th = None
    if "zero_init_last" in cfg.backbone:
        cfg.backbone.zero_init_last = False  # where nothing but these norms would learn in the first step
    network = build.build_network(cfg)
    for layer in spiking_layers(network).values():
        layer.spike = layer.spike.primitive  # smooth, so that no layer of so narrow a network is silent
    images = torch.randn(6, 3, size, size, generator=torch.Generator().manual_seed(0))
    build.make(cfg, "loss")(network(images), torch.arange(6)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if parameter.dim() >= 2 or ".neuron." in name:
            assert parameter.grad.any(), name
