"""Text -> shared library, through a cache that only its owner can write.

The name of a cached file is a hash of everything that it depends on: the text, the compiler and its version, the
flags, the machine. Files appear complete or not at all, so any number of processes may share the folder; each ends in a
checksum of its name and content, and none is loaded that does not hold it.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from snnbench import commands
from snnbench.kernels.cell import NoEngine

_NUMERICS = ("-O2", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
FLAGS = ("-std=c++17", *_NUMERICS, "-fPIC", "-shared", "-fvisibility=hidden")
OPENMP = "-fopenmp"
LIBRARIES = ("-lm",)
PATIENCE = 10.0
"""Seconds in which a compiler must have told its version, and after which one that is compiling is named."""
LIMIT = 300.0
"""Seconds in which it must have compiled a kernel."""

_log = logging.getLogger("snnbench.kernels")


def cache_dir() -> Path:
    """$SNNBENCH_CACHE, or snnbench in the user's cache folder; made if it is not there.

    Raises:
        NoEngine: it cannot be made or written, or someone else could write it.
    """
    given = os.environ.get("SNNBENCH_CACHE")
    path = commands.home(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        path = path if given else path.expanduser() / "snnbench"
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
    parts = (source, path, version, *FLAGS, OPENMP, *LIBRARIES, machine())
    return cache_dir() / f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}.so"


def build(source: str) -> ctypes.CDLL:
    """The library made from `source`, from the cache if it is there.

    Raises:
        NoEngine: no compiler, a compiler that fails, or no cache folder.
    """
    target = _target(source)
    if _whole(target):
        try:
            return ctypes.CDLL(str(target))
        except OSError:
            target.unlink(missing_ok=True)
    _compile(source, target)
    try:
        return ctypes.CDLL(str(target))
    except OSError as error:
        raise NoEngine(f"the compiled kernel {target} does not load ({error})") from error


def _checksum(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + content).digest()


def _whole(target: Path) -> bool:
    """Whether the file is there, and is what was once written under this name."""
    try:
        content = target.read_bytes()
    except OSError:
        return False
    return len(content) > 32 and _checksum(target.name, content[:-32]) == content[-32:]


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
                    _keep(result, target)
                    return
                failed = failed or next((line for line in said.splitlines() if "error" in line), said[:200])
    except OSError as error:
        raise NoEngine(f"compiling with {path} failed ({error})") from error
    raise NoEngine(f"the compiler {path} failed: {failed.strip() or 'no message'}")


def _keep(result: Path, target: Path) -> None:
    """Move `result` to `target`, with its checksum, so that a machine that stops leaves all of it or nothing."""
    content = result.read_bytes()
    with result.open("ab") as file:
        file.write(_checksum(target.name, content))
        file.flush()
        os.fsync(file.fileno())
    os.replace(result, target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
