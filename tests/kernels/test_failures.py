"""No compiler, no cache folder, no CuPy: the reference engine and one clear line; forced, an error. And the doctor."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from snnbench.kernels import build
from snnbench.kernels.cell import NoEngine

CALL = """
import logging, torch
logging.basicConfig(level=logging.INFO, format="LOG %(message)s")
from snnbench.errors import UserError
from snnbench.neurons import LIF, PLIF
x = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0))
for _ in range(2):
    s = LIF()(x)
assert torch.equal(s, LIF(engine="reference")(x))
try:
    LIF(engine="cpu")(x)
except UserError as error:
    print("ERROR", error)
else:
    print("FUSED")
"""


def python(code: str, **environment: str) -> list[str]:
    """Output lines of a fresh interpreter."""
    given = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    answer = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, timeout=200)
    assert answer.returncode == 0, answer.stderr
    return (answer.stdout + answer.stderr).splitlines()


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("trouble", ["no compiler", "failing compiler", "open cache", "no cache"])
def test_one_line_and_the_reference(trouble: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    environment = {"SNNBENCH_CACHE": str(cache)}
    if trouble == "no compiler":
        environment["CXX"], expected = "no-such-compiler", "no C++ compiler (no-such-compiler)"
    elif trouble == "failing compiler":
        text = 'case "$*" in *--version*) echo fake 1.0;; *) echo "kernel.cpp: error: out of luck" >&2; exit 1;; esac'
        environment["CXX"], expected = script(tmp_path / "fake++", text), "error: out of luck"
    elif trouble == "open cache":
        cache.mkdir()
        cache.chmod(0o777)
        expected = "can be written by others"
    else:
        cache.write_text("a file")
        expected = "no cache folder"
    lines = python(CALL, **environment)
    logged = [line for line in lines if line.startswith("LOG")]
    assert len(logged) == 1
    assert expected in logged[0]
    assert "reference engine" in logged[0]
    (error,) = [line for line in lines if line.startswith("ERROR")]
    assert expected in error
    assert "engine=cpu" in error


def test_a_cache_that_is_private_is_made_and_used(tmp_path: Path) -> None:
    cache = tmp_path / "new" / "cache"
    lines = python(CALL, SNNBENCH_CACHE=str(cache))
    assert lines[-1] == "FUSED" or "FUSED" in lines
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert [path.suffix for path in cache.iterdir()] == [".so"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_read_only_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setenv("SNNBENCH_CACHE", str(tmp_path))
    with pytest.raises(NoEngine, match="cannot be written"):
        build.cache_dir()


def test_a_damaged_file_in_the_cache_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("SNNBENCH_CACHE", str(tmp_path))
    source = 'extern "C" __attribute__((visibility("default"))) int answer() { return 42; }'
    assert build.build(source).answer() == 42
    (library,) = tmp_path.glob("*.so")
    library.unlink()
    library.write_bytes(b"not a library")
    assert build.build(source).answer() == 42


def test_eight_processes_share_an_empty_cache(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    given = os.environ | {"OMP_NUM_THREADS": "1", "SNNBENCH_CACHE": str(cache)}
    command = [sys.executable, "-c", CALL]
    runs = [subprocess.Popen(command, env=given, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    assert ["FUSED" in run.communicate(timeout=280)[0] for run in runs] == [True] * 8
    assert len(list(cache.glob("*.so"))) == 1
    assert [path for path in cache.iterdir() if path.is_dir()] == []


def test_a_cupy_that_does_not_import_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snnbench.kernels import cuda

    (tmp_path / "cupy.py").write_text("raise OSError('libnvrtc.so.13 is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    with pytest.raises(NoEngine, match=r"libnvrtc.so.13 is missing.*pip install cupy-cuda"):
        cuda.cupy()
    if not torch.cuda.is_available():
        with pytest.raises(NoEngine, match="no CUDA device"):
            cuda.check()


def test_doctor(tmp_path: Path) -> None:
    def doctor(**environment: str) -> subprocess.CompletedProcess:
        given = os.environ | environment
        return subprocess.run(
            [sys.executable, "-m", "snnbench.doctor"], env=given, capture_output=True, text=True, timeout=200
        )

    well = doctor()
    assert "agrees with the reference" in well.stdout
    for word in ("torch", "cuda", "cupy", "compiler", "cache"):
        assert word in well.stdout
    ill = doctor(CXX="no-such-compiler")
    assert ill.returncode == 1
    assert "install one, or set CXX" in ill.stdout
    if not torch.cuda.is_available():
        assert well.returncode == 0
