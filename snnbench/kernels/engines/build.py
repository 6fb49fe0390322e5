"""Text -> shared library, through a cache that only its owner can write.

The name of a cached file is a hash of everything that it depends on: the text, the compiler and its version, the
flags, the machine. Files appear complete or not at all, so any number of processes may share the folder.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from snnbench import commands
from snnbench.kernels.cell import NoEngine

_NUMERICS = ("-O2", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
FLAGS = ("-std=c++17", *_NUMERICS, "-fPIC", "-shared", "-fvisibility=hidden")
OPENMP = "-fopenmp"
LIBRARIES = ("-lm",)


def cache_dir() -> Path:
    """$SNNBENCH_CACHE, or snnbench in the user's cache folder; made if it is not there.

    Raises:
        NoEngine: it cannot be made or written, or someone else could write it.
    """
    given = os.environ.get("SNNBENCH_CACHE")
    path = (
        commands.home(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "snnbench"
    )
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except (OSError, RuntimeError) as error:
        raise NoEngine(f"no cache folder {path} ({error}); set SNNBENCH_CACHE to one that you can write") from error
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise NoEngine(f"the cache folder {path} can be written by others; chmod 700 it, or set SNNBENCH_CACHE")
    if not os.access(path, os.W_OK | os.X_OK):
        raise NoEngine(f"the cache folder {path} cannot be written; set SNNBENCH_CACHE to one that can")
    return path


@functools.cache
def compiler() -> tuple[str, str]:
    """Path and version of the C++ compiler: $CXX, or the first of g++, clang++, c++.

    Raises:
        NoEngine: there is none, or it does not run.
    """
    wanted = os.environ.get("CXX")
    for name in (wanted,) if wanted else ("g++", "clang++", "c++"):
        path = shutil.which(name)
        if path is None:
            continue
        try:
            answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            raise NoEngine(f"the compiler {path} does not run ({error})") from error
        return path, answer.stdout.splitlines()[0] if answer.stdout else ""
    raise NoEngine(f"no C++ compiler ({wanted or 'g++, clang++'}); install one, or set CXX to it")


@functools.cache
def machine() -> str:
    """What -march=native depends on."""
    lines: list[str] = []
    try:
        with open("/proc/cpuinfo") as file:
            lines = sorted({line for line in file if line.startswith(("model name", "flags", "Features"))})
    except OSError:
        pass
    return "".join([platform.machine(), platform.processor(), *lines])


def build(source: str) -> ctypes.CDLL:
    """The library made from `source`, from the cache if it is there.

    Raises:
        NoEngine: no compiler, a compiler that fails, or no cache folder.
    """
    path, version = compiler()
    folder = cache_dir()
    parts = (source, path, version, *FLAGS, OPENMP, *LIBRARIES, machine())
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    target = folder / f"{name}.so"
    if target.exists():
        try:
            return ctypes.CDLL(str(target))
        except OSError:
            target.unlink(missing_ok=True)
    _compile(path, source, target)
    try:
        return ctypes.CDLL(str(target))
    except OSError as error:
        raise NoEngine(f"the compiled kernel {target} does not load ({error})") from error


def _compile(path: str, source: str, target: Path) -> None:
    """Compile into a temporary folder beside `target`, then move the result there in one step."""
    failed = ""
    try:
        with tempfile.TemporaryDirectory(prefix="build-", dir=target.parent) as folder:
            text, result = Path(folder) / "kernel.cpp", Path(folder) / "kernel.so"
            text.write_text(source, "utf-8")
            for extra in (("-march=native", OPENMP), (OPENMP,), ("-march=native",), ()):
                command = [path, *FLAGS, *extra, "-o", str(result), str(text), *LIBRARIES]
                run = subprocess.run(command, capture_output=True, text=True, timeout=300)
                if run.returncode == 0:
                    os.replace(result, target)
                    return
                failed = failed or next((line for line in run.stderr.splitlines() if "error" in line), run.stderr[:200])
    except (OSError, subprocess.SubprocessError) as error:
        raise NoEngine(f"compiling with {path} failed ({error})") from error
    raise NoEngine(f"the compiler {path} failed: {failed.strip() or 'no message'}")
