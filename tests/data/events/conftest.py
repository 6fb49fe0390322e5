"""Building event data as train.py does, from configs, over hand-written files."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from snnbench.data.events import AEDAT2
from snnbench.training import build
from tests.conftest import CONFIGS
from tests.data.events import event_files as files


@pytest.fixture(scope="session")
def sj_datasets() -> ModuleType:
    """SpikingJelly's dataset helpers; its package imports torchaudio, which they do not need, so a stub will do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torchaudio", types.ModuleType("torchaudio"))
        pytest.importorskip("spikingjelly.datasets")
        import spikingjelly.datasets.utils as utils
    return utils


@pytest.fixture
def event_data(tmp_path: Path) -> Callable[..., Any]:
    """`event_data("nmnist", "T=4", ...)`: the data module over tmp_path, as a subset, not yet prepared."""

    def make(name: str, *overrides: str, root: Path = tmp_path, subset: bool = True) -> Any:
        fixed = [f"data={name}", f"paths.data={root}", f"data.subset={str(subset).lower()}", "augment=none", "T=4"]
        with initialize_config_dir(str(CONFIGS.absolute()), version_base="1.3"):
            from snnbench import config

            config.register_schema()
            cfg = compose("train", [*fixed, *overrides])
        return build.make(cfg, "data", drop=())

    return make


@pytest.fixture
def event_pack(tmp_path: Path) -> Callable[..., Any]:
    """`event_pack(source, T=4, ...)`: its packed cache in tmp_path/packed."""
    from snnbench.data.events.cache import plan
    from snnbench.data.events.frames import FrameRule
    from snnbench.data.events.pack import ensure

    def make(source: Any, T: int = 4, processes: int = 2, **rule: Any) -> Any:
        return ensure(plan(tmp_path / "packed", "test", source, FrameRule(T, **rule)), processes)

    return make


@pytest.fixture
def source(tmp_path: Path) -> AEDAT2:
    files.write_cifar10dvs(tmp_path, "aedat2")
    return AEDAT2(tmp_path, subset=True)
