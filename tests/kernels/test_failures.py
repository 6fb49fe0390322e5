"""No compiler, no cache folder, no CuPy: the reference engine and one clear line; forced, an error. And the doctor."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from snnbench import doctor
from snnbench.errors import UserError
from snnbench.kernels.cell import NoEngine
from snnbench.kernels.engines import build, cuda
from snnbench.kernels.engines.cache import cache_dir
from snnbench.neurons import LIF, PLIF


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


FAILS = 'case "$*" in *--version*) echo fake 1.0;; *) echo "kernel.cpp: error: out of luck" >&2; exit 1;; esac'


@pytest.mark.parametrize("trouble", ["no compiler", "failing compiler", "open cache", "no cache"])
def test_one_line_and_the_reference(
    trouble: str, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if trouble == "no compiler":
        monkeypatch.setenv("CXX", "no-such-compiler")
        expected = "no C++ compiler (no-such-compiler)"
    elif trouble == "failing compiler":
        monkeypatch.setenv("CXX", script(tmp_path / "fake++", FAILS))
        expected = "error: out of luck"
    elif trouble == "open cache":
        fresh.mkdir(parents=True)
        fresh.chmod(0o777)
        expected = "can be written by others"
    else:
        fresh.parent.write_text("a file")
        expected = "no cache folder"
    x = torch.randn(4, 2, 3)
    with caplog.at_level(logging.INFO, "snnbench"):
        for _ in range(2):
            assert torch.equal(LIF()(x), LIF(engine="reference")(x))
    (record,) = caplog.records
    assert expected in record.getMessage()
    assert "reference engine" in record.getMessage()
    with pytest.raises(UserError, match="engine=cpu") as error:
        PLIF(engine="cpu")(x)
    assert expected in str(error.value)


def test_a_private_cache_is_made_and_used(fresh: Path) -> None:
    LIF(engine="cpu")(torch.randn(4, 2, 3))
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o700
    assert [path.suffix for path in fresh.iterdir()] == [".so"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_read_only_cache(fresh: Path) -> None:
    fresh.mkdir(parents=True)
    fresh.chmod(0o500)
    with pytest.raises(NoEngine, match="cannot be written"):
        cache_dir()


def test_a_damaged_file_in_the_cache_is_built_again(fresh: Path) -> None:
    source = 'extern "C" __attribute__((visibility("default"))) int answer() { return 42; }'
    assert build.build(source).answer() == 42
    (library,) = fresh.glob("*.so")
    library.unlink()
    library.write_bytes(b"not a library")
    assert build.build(source).answer() == 42


EIGHT = """
import multiprocessing, torch
from snnbench.neurons import LIF

def fire(start, wrong):
    start.wait()
    x = torch.linspace(-1, 3, 40).view(4, 2, 5)
    if not torch.equal(LIF(engine="cpu", tau=2.75)(x), LIF(engine="reference", tau=2.75)(x)):
        wrong.set()

context = multiprocessing.get_context("fork")
start, wrong = context.Event(), context.Event()
processes = [context.Process(target=fire, args=(start, wrong)) for _ in range(8)]
for process in processes:
    process.start()
start.set()
for process in processes:
    process.join()
print([process.exitcode for process in processes], wrong.is_set())
"""


def test_eight_processes_share_an_empty_cache(fresh: Path) -> None:
    # in a process of its own: autograd's threads, once another test has started them, forbid to fork
    run = subprocess.run([sys.executable, "-c", EIGHT], capture_output=True, text=True, timeout=200)
    assert run.stdout.strip() == f"{[0] * 8} False", run.stderr
    assert [path.suffix for path in fresh.iterdir()] == [".so"]


def test_a_cupy_that_does_not_import_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cupy.py").write_text("raise OSError('libnvrtc.so.13 is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    with pytest.raises(NoEngine, match=r"libnvrtc.so.13 is missing.*pip install cupy-cuda"):
        cuda.cupy()
    if not torch.cuda.is_available():
        with pytest.raises(NoEngine, match="no CUDA device"):
            cuda.CudaEngine().check()


def test_doctor(fresh: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    code = doctor.main()
    report = capsys.readouterr().out
    assert "agrees with the reference" in report
    for word in ("torch", "cuda", "cupy", "compiler", "cache"):
        assert f"\n{word}" in report
    assert code == 0 or torch.cuda.is_available()


def test_doctor_without_a_compiler(fresh: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert doctor.main() == 1
    assert "install one, or set CXX" in capsys.readouterr().out


FORKS = """
import os, sys, torch
from snnbench.neurons import LIF
x = torch.randn(3, 2, 4, requires_grad=True)
LIF()(x).sum().backward()
child = os.fork()
if child == 0:
    code = 1
    try:
        LIF()(x).sum().backward()
        code = 0
    finally:
        os._exit(code)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(torch.__version__.startswith("2.11."), reason="PyTorch 2.11 needs a device guard of its own")
def test_a_child_by_fork_can_differentiate_too() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
