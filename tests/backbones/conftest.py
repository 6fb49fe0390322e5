"""Backbones built from their config files, as training builds them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from torch import nn

from snnbench.neurons import LIF

CONFIGS = Path(__file__).parents[2] / "configs"

Build = Callable[..., nn.Module]


@pytest.fixture
def build() -> Build:
    """build("resnet20", in_channels=3, num_classes=10, image_size=32, T=2, norm="bn", **overrides)"""

    def make(
        name: str,
        *,
        in_channels: int = 3,
        num_classes: int = 10,
        image_size: Any = 32,
        T: int = 2,
        norm: str = "bn",
        **overrides: Any,
    ) -> nn.Module:
        data = {"in_channels": in_channels, "num_classes": num_classes, "image_size": image_size}
        groups = {"backbone": CONFIGS / f"backbone/{name}.yaml", "norm": CONFIGS / f"norm/{norm}.yaml"}
        given = {"T": T, "engine": "reference", "data": data, "neuron": {"v_th": 0.5}}
        cfg = OmegaConf.create({**given, **{k: OmegaConf.load(v) for k, v in groups.items()}})
        cfg.backbone.update(overrides)
        resolved: Any = OmegaConf.to_container(cfg, resolve=True)
        arguments = {key: value for key, value in resolved["norm"].items() if key not in ("name", "_partial_")}
        norm_factory = partial(get_class(arguments.pop("_target_")), **arguments)
        arguments = {key: value for key, value in resolved["backbone"].items() if key != "name"}
        neuron = partial(LIF, leak=0.5, v_th=0.5, engine="reference")
        arguments = {k: instantiate(v) if isinstance(v, dict) and "_target_" in v else v for k, v in arguments.items()}
        return get_class(arguments.pop("_target_"))(neuron=neuron, norm=norm_factory, **arguments)

    return make
