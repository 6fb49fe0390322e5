"""Which of the processes of a run this one is, as its launcher says in the environment.

Lightning's own launcher, torchrun, srun, and what MPI and PMI start. A process without a word of theirs is alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """What was started together.

    Attributes:
        by: who started it, as people call it.
        rank, size: this process, and how many there are.
        local_rank: this process on its machine.
        node: its machine.
    """

    by: str
    rank: int
    size: int
    local_rank: int
    node: int

    @property
    def perhaps_alone(self) -> bool:
        """Whether SLURM may only have told a batch script of tasks that nobody started."""
        return self.by == "srun" and self.rank == 0 and "SLURM_STEP_ID" not in os.environ


_MPI = "OMPI_COMM_WORLD"
# by, rank, size, local rank, node: the first variable of each that is set counts.
_LAUNCHERS: tuple[tuple[str, *tuple[list[str], ...]], ...] = (
    ("torchrun", ["RANK"], ["WORLD_SIZE"], ["LOCAL_RANK"], ["GROUP_RANK", "NODE_RANK"]),
    ("srun", ["SLURM_PROCID"], ["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"], ["SLURM_LOCALID"], ["SLURM_NODEID"]),
    ("mpirun", [f"{_MPI}_RANK"], [f"{_MPI}_SIZE"], [f"{_MPI}_LOCAL_RANK"], [f"{_MPI}_NODE_RANK"]),
    ("mpiexec", ["PMI_RANK", "PMIX_RANK"], ["PMI_SIZE", "PMIX_SIZE"], ["MPI_LOCALRANKID", "PMI_LOCAL_RANK"], []),
)  # fmt: skip


SHARED = "SNNBENCH_SHARED"
"""What the first process made for those that it starts itself; see `training.distributed`."""


def launch(environ: Mapping[str, str] | None = None) -> Launch | None:
    """How this process was started together with others from outside; None where it was not."""
    env = os.environ if environ is None else environ
    if SHARED in env and "LOCAL_RANK" in env and "RANK" not in env:
        return None  # by Lightning, from within a process that may have been started with others
    for by, *names in _LAUNCHERS:
        rank, size, local, node = (_number(env, keys) for keys in names)
        if rank is None or size is None or size < 2:
            continue
        if by == "srun" and env.get("SLURM_JOB_NAME") in ("bash", "interactive") and "SLURM_STEP_ID" not in env:
            continue
        return Launch(by, rank, size, rank if local is None else local, node or 0)
    return None


def is_first(environ: Mapping[str, str] | None = None) -> bool:
    """Whether this is the first process of a run, which makes its folder and writes its result."""
    env = os.environ if environ is None else environ
    found = launch(env)
    if found is not None:
        return found.rank == 0
    return not any(_number(env, [key]) for key in ("LOCAL_RANK", "NODE_RANK"))


def _number(env: Mapping[str, str], keys: list[str]) -> int | None:
    return next((int(env[key]) for key in keys if env.get(key, "").isdecimal()), None)
