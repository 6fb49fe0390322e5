"""C++ text -> shared library, through the cache: it depends on text, compiler, flags and machine."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import platform
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from snnbench.kernels.cell import NoEngine
from snnbench.kernels.engines.cache import content_of, keep, place

_NUMERICS = ("-O2", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
FLAGS = ("-std=c++17", *_NUMERICS, "-fPIC", "-shared", "-fvisibility=hidden")
OPENMP = "-fopenmp"
LIBRARIES = ("-lm",)
PATIENCE = 10.0
"""Seconds in which a compiler must have told its version, and after which one that is compiling is named."""
LIMIT = 300.0
"""Seconds in which it must have compiled a kernel."""

_log = logging.getLogger("snnbench.kernels")


@functools.cache
def compiler() -> tuple[str, str]:
    """The C++ compiler, as a path or a command with arguments, and its version: $CXX, or g++, clang++, c++.

    Raises:
        NoEngine: there is none, or it does not run.
    """
    wanted = os.environ.get("CXX", "").strip()
    for name in (wanted,) if wanted else ("g++", "clang++", "c++"):
        found = _command(name)
        if found is None:
            continue
        shown = found[0] if len(found) == 1 else shlex.join(found)
        try:
            code, answer = _run([*found, "--version"], PATIENCE, errors=subprocess.DEVNULL)
        except OSError as error:
            raise NoEngine(f"the compiler {shown} does not run ({error})") from error
        if code is None:
            raise NoEngine(f"the compiler {shown} does not answer --version within {PATIENCE:g} seconds")
        if code:
            raise NoEngine(f"the compiler {shown} does not run (--version ends with exit code {code})")
        return shown, answer.splitlines()[0] if answer else ""
    raise NoEngine(f"no C++ compiler ({wanted or 'g++, clang++'}); install one, or set CXX to it")


def _command(name: str) -> tuple[str, ...] | None:
    """The words of a command: a path, which may hold spaces, or a command with arguments. None if there is none."""
    path = shutil.which(name)
    if path is not None:
        return (path,)
    try:
        first, *arguments = shlex.split(name)
    except ValueError as error:
        raise NoEngine(f"CXX={name} is no command ({error})") from error
    path = shutil.which(first)
    return None if path is None else (path, *arguments)


def _run(arguments: Sequence[str], limit: float, errors: int = subprocess.STDOUT) -> tuple[int | None, str]:
    """Exit code (None after `limit` seconds) and what a command says; with it ends whatever it has started."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": errors}
    process = subprocess.Popen(arguments, start_new_session=True, env={**os.environ, "LC_ALL": "C"}, **options)  # type: ignore[call-overload]
    try:
        try:
            said, _ = process.communicate(timeout=min(limit, PATIENCE))
        except subprocess.TimeoutExpired:
            if limit <= PATIENCE:
                raise
            _log.warning("%s has been compiling for %g seconds; CXX names another compiler", arguments[0], PATIENCE)
            said, _ = process.communicate(timeout=limit - PATIENCE)
    except subprocess.TimeoutExpired:
        return None, ""
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
    return process.returncode, said.decode(errors="replace")


@functools.cache
def machine() -> str:
    """What -march=native depends on."""
    lines: list[str] = []
    try:
        with open("/proc/cpuinfo", errors="replace") as file:
            lines = sorted({line for line in file if line.startswith(("model name", "flags", "Features"))})
    except OSError:
        pass
    return "".join([platform.machine(), platform.processor(), *lines])


def cached(source: str) -> bool:
    """Whether the library made from `source` is in the cache. Raises NoEngine as `build` does."""
    return _target(source).exists()


def _target(source: str) -> Path:
    path, version = compiler()
    return place(".so", source, path, version, *FLAGS, OPENMP, *LIBRARIES, machine())


def build(source: str) -> ctypes.CDLL:
    """The library made from `source`, from the cache if it is there.

    Raises:
        NoEngine: no compiler, a compiler that fails, or no cache folder.
    """
    target = _target(source)
    if content_of(target) is not None:
        try:
            return ctypes.CDLL(str(target))
        except OSError:
            target.unlink(missing_ok=True)
    _compile(source, target)
    try:
        return ctypes.CDLL(str(target))
    except OSError as error:
        raise NoEngine(f"the compiled kernel {target} does not load ({error})") from error


def _compile(source: str, target: Path) -> None:
    """Compile into a temporary folder beside `target`, then move the result there in one step."""
    path, failed = compiler()[0], ""
    found = _command(path)
    if found is None:
        raise NoEngine(f"the compiler {path} is gone")
    try:
        with tempfile.TemporaryDirectory(prefix="build-", dir=target.parent) as folder:
            text, result = Path(folder) / "kernel.cpp", Path(folder) / "kernel.so"
            text.write_text(source, "utf-8")
            for extra in (("-march=native", OPENMP), (OPENMP,), ("-march=native",), ()):
                arguments = [*found, *FLAGS, *extra, "-o", str(result), str(text), *LIBRARIES]
                code, said = _run(arguments, LIMIT)
                if code is None:
                    raise NoEngine(f"the compiler {path} was not done within {LIMIT:g} seconds")
                if code == 0:
                    keep(result.read_bytes(), target)
                    return
                failed = failed or next((line for line in said.splitlines() if "error" in line), said[:200])
    except OSError as error:
        raise NoEngine(f"compiling with {path} failed ({error})") from error
    raise NoEngine(f"the compiler {path} failed: {failed.strip() or 'no message'}")
