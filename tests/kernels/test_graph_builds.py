"""Compilers of all kinds, and a cache of kernels that may be damaged."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from snnbench.kernels.cell import NoEngine
from snnbench.kernels.engines import build
from snnbench.kernels.engines.cache import cache_dir

SOURCE = 'extern "C" __attribute__((visibility("default"))) int answer() {{ return {}; }}'


DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "zeroed": lambda content: bytes(len(content)),
    "one byte": lambda content: content[:999] + bytes([content[999] ^ 1]) + content[1000:],
    "empty": lambda content: b"",
    "without a checksum": lambda content: content[:-32],
    "of another name": None,
}


def test_damaged_entries_are_built_again(fresh: Path) -> None:
    """Before dlopen, which would crash, or give another kernel's numbers. In a process that has loaded none of them."""
    entries: dict[str, Path] = {}
    for number, damage in enumerate(DAMAGES):
        build.build(SOURCE.format(number))
        (entries[damage],) = set(fresh.glob("*.so")) - set(entries.values())
    whole = {damage: path.read_bytes() for damage, path in entries.items()}
    for damage, path in entries.items():
        change = DAMAGES[damage]
        path.unlink()
        path.write_bytes(change(whole[damage]) if change else whole["truncated"])
    code = (
        "import sys; from snnbench.kernels.engines import build; print([build.build(s).answer() for s in sys.argv[1:]])"
    )
    sources = [SOURCE.format(number) for number in range(len(DAMAGES))]
    done = subprocess.run([sys.executable, "-c", code, *sources], capture_output=True, text=True, timeout=100)
    assert done.stdout.strip() == str(list(range(len(DAMAGES)))), done.stderr


def test_no_home_and_an_unknown_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "SNNBENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 987654)
    with pytest.raises(NoEngine, match=r"no cache folder .* set SNNBENCH_CACHE"):
        cache_dir()


def script(path: Path, text: str) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("kind", ["arguments", "wrapper", "a path with spaces", "both", "no utf-8"])
def test_compilers_with_arguments_and_odd_names(
    kind: str, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = script(tmp_path / "my tools" / "c ++", 'exec g++ "$@"')
    cache = script(tmp_path / "ccache", 'exec "$@"')
    odd = script(
        tmp_path / "odd", """case "$*" in *--version*) printf 'g\\303\\050\\377++ 1';; *) exec g++ "$@";; esac"""
    )
    wanted = {
        "arguments": "g++ -m64  -pipe",
        "wrapper": f"{cache} g++",
        "a path with spaces": own,
        "both": f'{cache} "{own}" -pipe',
        "no utf-8": odd,
    }[kind]
    monkeypatch.setenv("CXX", wanted)
    monkeypatch.setenv("SNNBENCH_CACHE", str(tmp_path / "a cache with spaces"))
    assert build.build(SOURCE.format(7)).answer() == 7
    assert isinstance(build.build(SOURCE.format(7)), ctypes.CDLL)


def test_quotes_that_do_not_close(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++ '-O2")
    with pytest.raises(NoEngine, match=r"CXX=g.. '-O2 is no command"):
        build.compiler()


def test_a_compiler_that_hangs(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "PATIENCE", 0.5)
    monkeypatch.setenv("CXX", script(tmp_path / "slow", "sleep 1000"))
    start = time.monotonic()
    with pytest.raises(NoEngine, match=r"does not answer --version within 0\.5 seconds"):
        build.compiler()
    assert time.monotonic() - start < 10


def test_one_that_hangs_while_it_compiles(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(build, "PATIENCE", 1.0)
    monkeypatch.setattr(build, "LIMIT", 2.0)
    monkeypatch.setenv("CXX", script(tmp_path / "slow", 'case "$*" in *--version*) echo 1;; *) sleep 1000;; esac'))
    with pytest.raises(NoEngine, match="was not done within 2 seconds"):
        build.build(SOURCE.format(3))
    assert "has been compiling for 1 seconds" in caplog.text
