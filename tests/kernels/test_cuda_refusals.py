"""What the CUDA engine says where something cannot be had, and that the reference then runs; against a stand-in."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
import torch
from compare import same, spikes_and_gradients
from cupy_stand_in import CUDARuntimeError, Machine, StandInEngine
from reading import Said

from snnbench.errors import UserError
from snnbench.kernels.cell import NoEngine
from snnbench.kernels.engines import cache, cuda, nvrtc, registry
from snnbench.kernels.engines.signature import Signature
from snnbench.kernels.plans import plan_of
from snnbench.neurons import LIF, PLIF, SpikingNeuron


@pytest.fixture
def alone(machine: Machine) -> Machine:
    """The stand-in is the one engine for tensors on the CPU."""
    del registry._engines["cpu"]
    return machine


def names(machine: Machine) -> list[str]:
    return [name for _, _, name, _ in machine.launches]


def refused(neuron: SpikingNeuron, expected: str, said: Said, T: int = 4) -> None:
    """engine=auto: the reference, and one line that says why."""
    found = [spikes_and_gradients(neuron, T) for _ in range(2)]
    for outcome in found:
        same(spikes_and_gradients(type(neuron)(engine="reference"), T), outcome, 0)
    assert f"{type(neuron).__name__}: reference engine, because {expected}" in said.line()


def test_check(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = StandInEngine()
    engine.check()
    assert engine.describe() == "kernels compiled by NVRTC through CuPy 14.2.0"
    runtime = nvrtc.cupy().cuda.runtime
    monkeypatch.setattr(runtime, "getDeviceCount", lambda: 3)
    with pytest.raises(NoEngine, match="CuPy sees 3 CUDA devices, PyTorch 1"):
        engine.check()

    def fail() -> int:
        raise CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")

    monkeypatch.setattr(runtime, "getDeviceCount", fail)
    with pytest.raises(NoEngine, match=r"CuPy sees no CUDA device \(cudaErrorInsufficientDriver.*must fit the driver"):
        engine.check()
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it was not there
    del sys.modules["cupy"]
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(NoEngine, match=r"CuPy does not import \(No module named 'cupy'\); pip install cupy-cuda\d\dx"):
        engine.check()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(NoEngine, match="PyTorch sees no CUDA device"):
        engine.check()


def test_no_nvrtc(alone: Machine, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> tuple[int, int]:
        raise RuntimeError("CuPy failed to load libnvrtc.so.13: OSError: cannot open shared object file\nmore")

    monkeypatch.setattr(alone.nvrtc, "getVersion", fail)
    refused(PLIF(), "CuPy finds no NVRTC (CuPy failed to load libnvrtc.so.13: OSError: cannot open", said)
    assert not alone.launches


def test_a_text_that_nvrtc_rejects(machine: Machine, fresh: Path) -> None:
    expected = r"did not compile a kernel for sm_90: kernel.cu\(1\): error: identifier .b. is undefined"
    for _ in range(2):
        with pytest.raises(NoEngine, match=expected):
            nvrtc.compiled('extern "C" __global__ void f(float* a) { a[0] = b; }', (9, 0))
    assert not list(fresh.iterdir())


def test_an_option_that_nvrtc_rejects(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc, "OPTIONS", ("--nonsense",))
    with pytest.raises(
        UserError, match=r"^engine=stand-in: NVRTC did not .* unrecognized option --nonsense found\. Use"
    ):
        spikes_and_gradients(LIF(engine="stand-in"))


def test_nvrtc_fails_without_a_word(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(machine.nvrtc, "compileProgram", fail)
    with pytest.raises(NoEngine, match="for sm_90: MemoryError"):
        nvrtc.compiled("// a text that no other test has", (9, 0))


@pytest.mark.parametrize("why", ["text", "local memory"])
def test_a_backward_that_cannot_be_had_is_found_before_the_forward_runs(
    why: str, alone: Machine, fresh: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    T, expected = 20, "T=20 is more than a thread of a CUDA device can keep"
    if why == "text":
        alone.nvrtc.refused = "backward("
        expected = "NVRTC did not compile a kernel for sm_90: kernel.cu(1): catastrophic error"
    else:
        monkeypatch.setattr(cuda, "LOCAL", 0)
    refused(PLIF(), expected, said, T)
    assert not alone.launches
    x = torch.rand(T, 2, 8)
    with torch.no_grad():
        assert torch.equal(PLIF()(x), PLIF(engine="reference")(x))
    assert names(alone) == ["forward"]


@pytest.mark.parametrize(("moment", "launched"), [("load", []), ("launch", [])])
def test_a_device_that_refuses_a_kernel(moment: str, launched: list[str], alone: Machine, said: Said) -> None:
    alone.broken[moment] = "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: too many resources requested for launch"
    verb = "take" if moment == "load" else "start"
    refused(PLIF(), f"the device does not {verb} the kernel (CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", said)
    assert names(alone) == launched


def test_a_backward_that_the_device_refuses(alone: Machine, said: Said) -> None:
    x = torch.linspace(-1, 3, 64).view(4, 2, 8).requires_grad_()
    s = PLIF()(x)
    alone.broken["launch"] = "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered"
    (g,) = torch.autograd.grad(s.sum(), x)
    assert torch.equal(g, torch.autograd.grad(PLIF(engine="reference")(x).sum(), x)[0])
    assert "PLIF: reference engine, because the device does not start the kernel (CUDA_ERROR_ILLEGAL" in said.line()
    assert names(alone) == ["forward"]


@pytest.mark.parametrize("trouble", ["open", "a file", "full"])
def test_no_cache(trouble: str, machine: Machine, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if trouble == "open":
        fresh.mkdir(parents=True)
        fresh.chmod(0o777)
        expected = "can be written by others; chmod 700 it, or set SNNBENCH_CACHE"
    elif trouble == "a file":
        fresh.parent.write_text("no folder")
        expected = "no cache folder"
    else:
        expected = r"the compiled kernel cannot be kept in .* \(\[Errno 28\] No space left on device\)"

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(cache.os, "replace", full)
    with pytest.raises(UserError, match=f"^engine=stand-in: .*{expected}"):
        spikes_and_gradients(LIF(engine="stand-in"))
    assert not machine.launches
    assert trouble != "full" or not list(fresh.iterdir())


def test_more_neurons_than_are_numbered() -> None:
    program = plan_of(LIF()).program
    assert program is not None
    kernel = StandInEngine().kernel(
        program, Signature((1, 1, 1 << 31), (1 << 31, 1 << 31, 1), torch.float32, False, ())
    )
    with pytest.raises(NoEngine, match="a frame has 2,147,483,648 neurons, more than a CUDA kernel numbers"):
        kernel.prepare(torch.device("cuda", 0))


def test_the_engine_is_named_once(alone: Machine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "snnbench"):
        for _ in range(2):
            spikes_and_gradients(LIF())
    (record,) = caplog.records
    assert record.getMessage() == "neurons on cpu: kernels compiled by NVRTC through CuPy 14.2.0"
