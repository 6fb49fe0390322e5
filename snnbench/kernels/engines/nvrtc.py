"""CUDA text -> machine code for one architecture, by NVRTC, through the cache.

CuPy's binding of NVRTC is used, and nothing of CuPy's own compiling: that adds options (it flushes denormals to zero),
asks the current device, keeps files in a folder of its own and wants CUDA's headers, which a kernel's text does not.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from typing import Any

import torch

from snnbench.kernels.cell import NoEngine
from snnbench.kernels.engines.cache import cache_dir, content_of, keep, place

OPTIONS = ("--std=c++17", "--fmad=false")
"""Everything that NVRTC is told, but for the architecture. Multiplications and additions stay two, as in PyTorch's
operations; denormals are kept, and divisions and roots rounded correctly, which are NVRTC's defaults."""

_alone = threading.Lock()


def cupy() -> Any:
    """CuPy, imported when it is first needed.

    What it makes at import is a folder for its own kernels; it goes beside ours, so that no home folder is needed.

    Raises:
        NoEngine: it is not installed, or does not import; or there is no cache folder.
    """
    if "cupy" in sys.modules:
        return sys.modules["cupy"]
    given = os.environ.get("CUPY_CACHE_DIR")
    os.environ["CUPY_CACHE_DIR"] = given or str(cache_dir() / "cupy")
    try:
        import cupy as module
    except Exception as error:  # a broken CuPy raises more than ImportError
        hint = f"cupy-cuda{(torch.version.cuda or '12').split('.')[0]}x"
        raise NoEngine(f"CuPy does not import ({first_line(error)}); pip install {hint}") from error
    finally:
        del os.environ["CUPY_CACHE_DIR"]
        if given is not None:
            os.environ["CUPY_CACHE_DIR"] = given
    return module


def architecture(capability: tuple[int, int], newest: int) -> str:
    """What to compile for: the device's own machine code, or an NVRTC's newest PTX where the device is newer.

    Args:
        capability: of the device, as torch.cuda.get_device_capability gives it.
        newest: the newest architecture that NVRTC knows, 90 for (9, 0).
    """
    own = 10 * capability[0] + capability[1]
    return f"sm_{own}" if own <= newest else f"compute_{newest}"


def compiled(text: str, capability: tuple[int, int]) -> bytes:
    """The module made from `text`, for devices of `capability`: machine code, or PTX for a device newer than NVRTC.

    Raises:
        NoEngine: NVRTC cannot be had, does not know so old a device or rejects the text; or there is no cache folder.
    """
    nvrtc, version, known = _nvrtc()
    target = architecture(capability, max(known))
    if int(target.rpartition("_")[2]) not in known:
        named = ", ".join(f"{arch // 10}.{arch % 10}" for arch in known)
        own = ".".join(map(str, capability))
        raise NoEngine(f"NVRTC {version} does not compile for capability {own}, but for {named}")
    kept = place(".cubin", text, version, target, *OPTIONS)
    found = content_of(kept)
    if found is not None:
        return found
    with _alone:
        found = content_of(kept)
        if found is None:
            found = _compile(nvrtc, text, target)
            try:
                keep(found, kept)
            except OSError as error:
                raise NoEngine(f"the compiled kernel cannot be kept in {kept.parent} ({error})") from error
    return found


@functools.cache
def _nvrtc() -> tuple[Any, str, tuple[int, ...]]:
    """CuPy's binding, NVRTC's version, and the architectures that it compiles for."""
    module = cupy()
    try:
        nvrtc = module.cuda.nvrtc
        version = ".".join(map(str, nvrtc.getVersion()))
        return nvrtc, version, tuple(sorted(map(int, nvrtc.getSupportedArchs())))
    except Exception as error:  # a library that does not load raises more than ImportError
        raise NoEngine(f"CuPy finds no NVRTC ({first_line(error)})") from error


def _compile(nvrtc: Any, text: str, target: str) -> bytes:
    program = nvrtc.createProgram(text, "kernel.cu", (), ())
    try:
        nvrtc.compileProgram(program, (*OPTIONS, f"--gpu-architecture={target}"))
        result = nvrtc.getCUBIN(program) if target.startswith("sm_") else nvrtc.getPTX(program)
    except Exception as error:
        said = nvrtc.getProgramLog(program).splitlines()
        reason = next((line for line in said if "error" in line), first_line(error))
        raise NoEngine(f"NVRTC did not compile a kernel for {target}: {reason.strip()}") from error
    finally:
        nvrtc.destroyProgram(program)
    return result if isinstance(result, bytes) else result.encode()


def first_line(error: Exception) -> str:
    """What went wrong, in a line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
