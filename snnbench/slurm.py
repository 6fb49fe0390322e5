"""The SLURM job that this process is in: its name, whether it has begun before, and how it comes back."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess

_SECONDS = 60


def job() -> str | None:
    """The job's id, with that of its task where it is of an array; None outside of SLURM."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID") or None


def restarted() -> bool:
    """Whether SLURM has run this job before, and put it back into the queue."""
    return os.environ.get("SLURM_RESTART_COUNT", "0") not in ("", "0")


def requeue() -> bool:
    """Put this job back into the queue, where SLURM lets us; a job that its user cancelled is not.

    Its script runs again then, and with it the same commands.
    """
    name, log = job(), logging.getLogger("snnbench")
    if name is None or shutil.which("scontrol") is None or _cancelled(name):
        return False
    try:
        done = subprocess.run(["scontrol", "requeue", name], capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.info("SLURM job %s could not be put back into the queue: %s", name, error)
        return False
    if done.returncode:
        log.info("SLURM job %s could not be put back into the queue: %s", name, " ".join(done.stderr.split()))
        return False
    log.info("SLURM job %s is back in the queue; its command will go on from here.", name)
    return True


def _cancelled(name: str) -> bool:
    if shutil.which("squeue") is None:
        return False
    words = ["squeue", "--noheader", "--format=%T", f"--jobs={name}"]
    try:
        return "CANCELLED" in subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
