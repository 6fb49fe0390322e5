"""One cache of compiled kernels for all test runs; memory that is not written shows as NaN."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from compare import DEVICES
from cupy_stand_in import Machine, StandInEngine, install
from reading import Said

from snnbench.kernels import bind, plans
from snnbench.kernels.engines import build, cpu, cuda, nvrtc, registry


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent.parent if "PYTEST_XDIST_WORKER" in os.environ else base.parent) / "kernel-cache"
    folder.mkdir(mode=0o700, exist_ok=True)
    os.environ["SNNBENCH_CACHE"] = str(folder)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """What an engine runs on, and its name: each that can be had here."""
    return request.param


@pytest.fixture
def poisoned() -> Iterator[None]:
    """torch.empty and its kin give NaN."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    """The warnings of the test."""
    return Said(caplog)


@pytest.fixture
def forget() -> Iterator[Callable[[], None]]:
    """Has the process forget what it keeps of engines and kernels; so it does before the test, and after."""

    def now() -> None:
        for cached in (build.compiler, registry.trouble, bind._tell, cpu.compiled, cuda.compiled, cuda._stream):
            cached.cache_clear()
        nvrtc._nvrtc.cache_clear()
        for table in (plans._by_cell, plans._by_class, plans._by_key):
            table.clear()

    now()
    yield now
    now()


@pytest.fixture
def fresh(forget: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As in a process that has just started: no engine checked, no kernel made, an own cache folder, not there yet."""
    cache = tmp_path / "new" / "cache"
    monkeypatch.setenv("SNNBENCH_CACHE", str(cache))
    return cache


@pytest.fixture
def machine(forget: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with a GPU, as far as that can be had without one; its engine for tensors is called "stand-in"."""
    monkeypatch.setattr(registry, "_engines", dict(registry._engines))
    registry.register(StandInEngine())
    return install(monkeypatch)


@pytest.fixture
def compiled_kernels() -> None:
    """Skips where torch.compile takes all for an export, as PyTorch 2.11 does: neurons then run as operations in it."""
    torch.compiler.reset()
    if torch.compile(lambda x: x + torch.compiler.is_exporting(), backend="eager")(torch.zeros(())).item():
        pytest.skip("torch.compile of this PyTorch cannot call kernels")
