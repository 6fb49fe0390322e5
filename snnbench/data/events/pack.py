"""Build a packed cache: several processes, plain writes under a temporary name, one rename at the end."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from snnbench.data.events.cache import Pack, Plan, look, stamp, unused, write_header
from snnbench.data.events.frames import COUNTS, count_type
from snnbench.data.events.workers import run_workers
from snnbench.data.tree import spelt, survey
from snnbench.errors import UserError

_log = logging.getLogger("snnbench")


def ensure(plan: Plan, processes: int | None = None) -> Pack:
    """The finished cache for `plan`, built if there is none or a damaged one; two processes build it once.

    Args:
        plan: What it shall hold.
        processes: How many build it; None: one per core this process may use.

    Raises:
        UserError: A recording is damaged, a package is missing, or the folder cannot be written to.
    """
    found = look(plan, thorough=plan.source.verify == "full")
    if isinstance(found, Pack):
        return found
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        with _locked(plan.folder):
            found = look(plan, thorough=plan.source.verify == "full")
            if isinstance(found, Pack):
                return found
            if found:
                _log.warning("%s is packed anew: %s", plan.frames_path, found)
            elif other := unused(plan):
                _log.info("%s; delete it if nothing needs it", other)
            plan.source.open()
            _build(plan, processes or _cores())
    except OSError as error:
        raise error if isinstance(error, UserError) else _unwritable(plan, error) from error
    built = look(plan)
    assert isinstance(built, Pack), built
    return built


def _build(plan: Plan, processes: int) -> None:
    partial = plan.folder / f".{plan.name}.npy.partial"
    try:
        if plan.header_path.exists():
            plan.header_path.unlink()
        highest = 0
        while True:
            dtype = np.dtype(count_type(highest))
            result = _write(plan, partial, dtype, processes)
            if result.highest <= np.iinfo(dtype).max:
                break
            highest = result.highest
        if survey(plan.source.folder, plan.decisive).state != plan.state:
            raise UserError(f"{spelt(plan.source.folder)}: its files were changed while they were packed. Try again.")
        os.replace(partial, plan.frames_path)
        write_header(plan, dtype, result.highest, result.events, result.checksums)
        stamp(plan)
    finally:
        with contextlib.suppress(OSError):  # of a read-only folder even what is not there cannot be removed
            partial.unlink(missing_ok=True)


def _write(plan: Plan, partial: Path, dtype: np.dtype[Any], processes: int) -> Any:
    """Fill `partial` with all frames. The counts that it reports tell whether `dtype` was wide enough."""
    needed, free = int(np.prod(plan.shape)) * dtype.itemsize, shutil.disk_usage(plan.folder).free
    if needed > free:
        raise OSError(f"it takes {_size(needed)}, {_size(free)} are free")
    with partial.open("wb") as file:
        header = {"descr": dtype.str, "fortran_order": False, "shape": plan.shape}
        np.lib.format.write_array_header_1_0(file, header)
        offset = file.tell()
        file.truncate(offset + needed)
        result = run_workers(plan, partial, offset, dtype, processes)
        os.fsync(file.fileno())
    if result.highest > np.iinfo(COUNTS[-1]).max:
        raise UserError(f"{plan.name}: a pixel has {result.highest} events in one frame; use a larger T.")
    return result


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system lets go of it when the processes that hold it end, however they end."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("waiting for another process that packs into %s", folder)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _unwritable(plan: Plan, error: OSError) -> UserError:
    shut = error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
    remedy = f"{'Set' if shut else 'Make room, or set'} data.cache=<folder> on {'a' if shut else 'another'} disk"
    remedy += " that can be written to." if shut else "."
    return UserError(f"cannot pack {plan.name} into {spelt(plan.folder)}: {error}.\nNothing is left there. {remedy}")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _size(number: int) -> str:
    return f"{number / 2**30:.2f} GiB"
