"""What Hydra's launchers do with the jobs of a sweep, as far as it must be known before they begin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snnbench import cores
from snnbench.registry import class_of


def at_once(launcher: Mapping[str, Any], jobs: int = 0) -> int:
    """How many jobs of a sweep a launcher runs at a time on this machine.

    Args:
        launcher: its config. joblib's `n_jobs` counts from the cores where it is negative; submitit's local launcher
            starts all at once, Ray as many as its cores allow. Jobs that run elsewhere look for themselves.
        jobs: how many there are; 0 where that is not known.
    """
    name = class_of(launcher)
    number = len(cores.usable().cores)
    if name == "RayLauncher":
        ray = launcher.get("ray") or {}
        here = (ray.get("init") or {}).get("num_cpus") or number
        several = int(here // ((ray.get("remote") or {}).get("num_cpus") or 1))
    elif name == "LocalLauncher":
        several = jobs or number
    else:
        n_jobs = launcher.get("n_jobs") or 1
        several = n_jobs if n_jobs > 0 else number + 1 + n_jobs
    return max(1, min(several, jobs) if jobs else several)


def elsewhere(launcher: Mapping[str, Any]) -> bool:
    """Whether jobs run on other machines than this one, whose devices say nothing about theirs."""
    address = ((launcher.get("ray") or {}).get("init") or {}).get("address")
    return class_of(launcher) in ("SlurmLauncher", "RayAWSLauncher") or address is not None
